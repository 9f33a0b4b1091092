// Values as text writes them, and iSCSI names.
#include "iscsi/login/values.h"

#include <gtest/gtest.h>

#include "iscsi/login/iscsi_name.h"

namespace cairn::test {
namespace {

using namespace iscsi;

std::string hexadecimal(std::string_view text, size_t length_max = 1024) {
  const auto bytes = parse_binary(text, length_max);
  return bytes ? format_binary(*bytes) : "nothing";
}

TEST(IscsiValues, NumbersAreDecimalOrHexadecimal) {
  EXPECT_EQ(parse_number("0"), 0u);
  EXPECT_EQ(parse_number("0512"), 512u);
  EXPECT_EQ(parse_number("0x1F"), 31u);
  EXPECT_EQ(parse_number("0Xff"), 255u);
  EXPECT_EQ(parse_number("18446744073709551615"), UINT64_MAX);
  for (const char* text : {"", "x", "0x", "-1", "+1", "1 ", " 1", "1.0", "0xg", "0b11", "18446744073709551616", "0x-1"})
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
}

TEST(IscsiValues, BooleansAreYesAndNo) {
  EXPECT_EQ(parse_boolean("Yes"), true);
  EXPECT_EQ(parse_boolean("No"), false);
  for (const char* text : {"", "yes", "NO", "1", "Yes,No"}) EXPECT_EQ(parse_boolean(text), std::nullopt) << text;
}

TEST(IscsiValues, BinaryIsHexadecimal) {
  EXPECT_EQ(hexadecimal("0x00ffA0"), "0x00ffa0");
  EXPECT_EQ(hexadecimal("0Xabc"), "0x0abc");
  for (const char* text : {"", "0x", "00", "0x0g", "ff", "0x 1"}) EXPECT_EQ(hexadecimal(text), "nothing") << text;
}

TEST(IscsiValues, BinaryIsBase64) {
  EXPECT_EQ(hexadecimal("0bAAECAw=="), "0x00010203");
  EXPECT_EQ(hexadecimal("0bAAECAw"), "0x00010203");
  EXPECT_EQ(hexadecimal("0B//79"), "0xfffefd");
  EXPECT_EQ(hexadecimal("0b//8="), "0xffff");
  for (const char* text : {"0b", "0bA", "0bAAECA", "0b=", "0b====", "0bAA=A", "0bAA*A", "0bAAECAw==="})
    EXPECT_EQ(hexadecimal(text), "nothing") << text;
}

TEST(IscsiValues, BinaryHasALimit) {
  EXPECT_EQ(hexadecimal("0x0102", 2), "0x0102");
  EXPECT_EQ(hexadecimal("0x010203", 2), "nothing");
  EXPECT_EQ(hexadecimal("0x12345", 2), "nothing");
  EXPECT_EQ(hexadecimal("0bAAE=", 2), "0x0001");
  EXPECT_EQ(hexadecimal("0bAAEC", 2), "nothing");
}

TEST(IscsiValues, TheFirstAdmittedOfAListIsChosen) {
  constexpr std::array<std::string_view, 2> admitted{"a", "b"};
  EXPECT_EQ(choose("b,a", admitted), "b");
  EXPECT_EQ(choose("c,a", admitted), "a");
  EXPECT_EQ(choose("c,,d", admitted), std::nullopt);
  EXPECT_EQ(choose("ab", admitted), std::nullopt);
}

TEST(IscsiNames, AreOfThreeKinds) {
  for (const char* name :
       {"iqn.2001-04.com.example", "iqn.2001-04.com.example:disk.a:1", "IQN.2001-12.Com.Example:X", "iqn.1999-01.a",
        "eui.02004567A425678D", "naa.52004567BA64678D", "naa.62004567BA64678D0123456789ABCDEF",
        "iqn.2008-11.org.linux-kvm:my_guest", "iqn.2001-04.a:\xc3\xa4"})
    EXPECT_TRUE(is_iscsi_name(name)) << name;
}

TEST(IscsiNames, AreRefusedInAnyOtherForm) {
  for (const char* name : {"", "iqn.", "disk", "iqn.2001-4.com.example", "iqn.2001-13.com", "iqn.2001-00.com",
                           "iqn.20x1-04.com", "iqn.2001-04.", "iqn.2001-04.:x", "iqn.2001-04com",
                           "iqn.2001-04.com example", "iqn.2001-04.com,a", "eui.0200", "eui.02004567A425678G",
                           "eui.02004567A425678D0", "naa.52004567BA64678D0", "wwn.52004567BA64678D", "iqn.2001-04.a\n"})
    EXPECT_FALSE(is_iscsi_name(name)) << name;
}

TEST(IscsiNames, HaveAtMost223Bytes) {
  const std::string name = "iqn.2001-04.a:";
  EXPECT_TRUE(is_iscsi_name(name + std::string(223 - name.size(), 'x')));
  EXPECT_FALSE(is_iscsi_name(name + std::string(224 - name.size(), 'x')));
}

}  // namespace
}  // namespace cairn::test

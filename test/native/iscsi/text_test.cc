// Texts: how they are read, put together and given away in parts.
#include "iscsi/text.h"

#include <gtest/gtest.h>

namespace cairn::test {
namespace {

using namespace iscsi;
using namespace std::string_literals;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(IscsiText, IsPairsEndedByZeroBytes) {
  const std::string text = "A=1\0Key=a=b,c\0Empty=\0X-a.b+c@d_e#1=x\0"s;
  const auto pairs = parse_text(text);
  ASSERT_TRUE(pairs);
  ASSERT_EQ(pairs->size(), 4u);
  EXPECT_EQ((*pairs)[1].key, "Key");
  EXPECT_EQ((*pairs)[1].value, "a=b,c");
  EXPECT_EQ((*pairs)[2].value, "");
  EXPECT_EQ((*pairs)[3].key, "X-a.b+c@d_e#1");
}

TEST(IscsiText, MayBeEmptyOrPadded) {
  EXPECT_TRUE(parse_text("")->empty());
  EXPECT_TRUE(parse_text("\0\0\0"s)->empty());
  EXPECT_EQ(parse_text("A=1\0\0\0"s)->size(), 1u);
}

TEST(IscsiText, IsMalformedWithoutEndEqualsOrKey) {
  for (const std::string& text : {"A=1"s, "A\0"s, "=1\0"s, "1A=1\0"s, "A B=1\0"s, "A=1\0\0B=2\0"s, "\xc3\x84=1\0"s})
    EXPECT_FALSE(parse_text(text)) << text;
}

TEST(IscsiText, KeysHaveAtMost63Bytes) {
  EXPECT_TRUE(parse_text(std::string(63, 'K') + "=1\0"s));
  EXPECT_FALSE(parse_text(std::string(64, 'K') + "=1\0"s));
}

TEST(IscsiText, HasAtMost128Pairs) {
  std::string text;
  for (size_t i = 0; i < text_pairs_max; ++i) append_pair(text, "A", "1");
  EXPECT_TRUE(parse_text(text));
  append_pair(text, "A", "1");
  EXPECT_FALSE(parse_text(text));
}

TEST(IscsiText, IsCollectedUntilNothingContinuesIt) {
  TextCollector collector;
  EXPECT_EQ(collector.add(true, bytes("A=")), TextCollector::State::more);
  EXPECT_EQ(collector.add(false, bytes("1\0"s)), TextCollector::State::whole);
  EXPECT_EQ(collector.text(), "A=1\0"s);
}

TEST(IscsiText, IsNotCollectedBeyondItsLimit) {
  TextCollector collector;
  EXPECT_EQ(collector.add(true, bytes(std::string(text_max - 1, 'x'))), TextCollector::State::more);
  EXPECT_EQ(collector.add(true, bytes("x")), TextCollector::State::more);
  EXPECT_EQ(collector.add(true, bytes("")), TextCollector::State::more);
  EXPECT_EQ(collector.add(true, bytes("x")), TextCollector::State::too_long);
  EXPECT_EQ(collector.text().size(), text_max);
}

TEST(IscsiText, GoesOutInPartsOfTheLengthAskedFor) {
  TextSender sender;
  sender.add("abcde");
  EXPECT_EQ(sender.next(2), "ab");
  EXPECT_EQ(sender.next(2), "cd");
  EXPECT_FALSE(sender.empty());
  EXPECT_EQ(sender.next(2), "e");
  EXPECT_TRUE(sender.empty());
  EXPECT_EQ(sender.next(2), "");
}

}  // namespace
}  // namespace cairn::test

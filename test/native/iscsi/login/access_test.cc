// Who may log in: what is refused before it is used, and whom it lets in.
#include <gtest/gtest.h>

#include "iscsi/login/check_access.h"
#include "test/native/iscsi/login/support/login_client.h"

namespace cairn::test {
namespace {

using namespace iscsi;

std::string complaint(const Access& access) {
  const auto checked = check_access(access);
  if (checked.ok()) return "";
  EXPECT_EQ(checked.error().code, "INVALID_ARGUMENT");
  return checked.error().message;
}

Access with_user(std::string_view user, std::string_view secret) {
  Access access;
  access.chap = {credential(user, secret)};
  return access;
}

TEST(IscsiAccess, MayBeOpenToAll) { EXPECT_EQ(complaint({}), ""); }

TEST(IscsiAccess, SecretsHave12To255Bytes) {
  EXPECT_EQ(complaint(with_user("alice", "12345678901")),
            "The secret of CHAP user alice is 11 bytes long: choose one of 12 to 255.");
  EXPECT_EQ(complaint(with_user("alice", "123456789012")), "");
  EXPECT_EQ(complaint(with_user("alice", std::string(255, 's'))), "");
  EXPECT_NE(complaint(with_user("alice", std::string(256, 's'))), "");
  Access access;
  access.chap = {{"alice", nullptr}};
  EXPECT_NE(complaint(access), "");
}

TEST(IscsiAccess, UsersHaveNamesOfAtMost255Bytes) {
  EXPECT_NE(complaint(with_user("", "123456789012")), "");
  EXPECT_EQ(complaint(with_user(std::string(255, 'u'), "123456789012")), "");
  EXPECT_NE(complaint(with_user(std::string(256, 'u'), "123456789012")), "");
  EXPECT_NE(complaint(with_user(std::string("a\0b", 3), "123456789012")), "");
}

TEST(IscsiAccess, UsersAreThereOnce) {
  Access access = with_user("alice", "123456789012");
  access.chap.push_back(credential("alice", "another secret"));
  EXPECT_EQ(complaint(access), "CHAP user alice is there twice: keep one of them.");
}

TEST(IscsiAccess, TheTargetsSecretIsItsOwn) {
  Access access = with_user("alice", "123456789012");
  access.mutual = credential("cairn", "210987654321");
  EXPECT_EQ(complaint(access), "");
  access.mutual = credential("cairn", "123456789012");
  EXPECT_NE(complaint(access), "");
  access.mutual = credential("cairn", "short");
  EXPECT_NE(complaint(access), "");
}

TEST(IscsiAccess, TheTargetProvesNothingToThoseWhoDoNot) {
  Access access;
  access.mutual = credential("cairn", "210987654321");
  EXPECT_NE(complaint(access), "");
}

TEST(IscsiAccess, InitiatorsHaveISCSINames) {
  Access access;
  access.initiators = {test_initiator, "eui.02004567A425678D"};
  EXPECT_EQ(complaint(access), "");
  access.initiators.push_back("host");
  EXPECT_NE(complaint(access), "");
}

TEST(IscsiAccess, AdmitsItsInitiatorsInEitherCase) {
  Access access;
  EXPECT_TRUE(admits(access, test_initiator));
  access.initiators = {"iqn.2001-04.com.example:a", "iqn.2001-04.com.example:B"};
  EXPECT_TRUE(admits(access, "iqn.2001-04.com.example:b"));
  EXPECT_TRUE(admits(access, "IQN.2001-04.com.example:A"));
  EXPECT_FALSE(admits(access, "iqn.2001-04.com.example:"));
  EXPECT_FALSE(admits(access, test_initiator));
}

}  // namespace
}  // namespace cairn::test

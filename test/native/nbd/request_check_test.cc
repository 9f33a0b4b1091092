// Pure pieces: error numbers, the judgement of requests, the receive buffer.
#include <gtest/gtest.h>

#include <cerrno>
#include <random>

#include "frontend/receive_buffer.h"
#include "nbd/commands/command.h"
#include "nbd/errors.h"

namespace cairn::test {
namespace {

using namespace nbd;

TEST(NbdErrors, EveryErrnoHasANumberOfTheProtocol) {
  const std::pair<int, wire::ErrorNumber> table[] = {{0, wire::error_none},
                                                     {EPERM, wire::error_not_permitted},
                                                     {EROFS, wire::error_not_permitted},
                                                     {EIO, wire::error_io},
                                                     {ENOMEM, wire::error_no_memory},
                                                     {EINVAL, wire::error_invalid},
                                                     {ENOSPC, wire::error_no_space},
                                                     {EDQUOT, wire::error_no_space},
                                                     {EFBIG, wire::error_no_space},
                                                     {EOVERFLOW, wire::error_overflow},
                                                     {ENOTSUP, wire::error_not_supported},
                                                     {ESHUTDOWN, wire::error_shutdown},
                                                     {EUCLEAN, wire::error_io},
                                                     {ECANCELED, wire::error_io}};
  for (const auto& [number, expected] : table) EXPECT_EQ(error_number(number), expected) << number;
  for (int number = 1; number < 140; ++number) EXPECT_NE(error_number(number), wire::error_none);
}

RequestFields header(uint16_t type, uint64_t offset, uint64_t length, uint16_t flags = 0) {
  return {.flags = flags, .type = type, .cookie = 0, .offset = offset, .length = length};
}

RequestRules rules() { return {.geometry = {.size = 1 * mebibyte, .logical_block_size = 4096}, .length_max = 65536}; }

int refusal(const RequestRules& judged_by, const RequestFields& request) {
  return check_request(judged_by, find_command(request.type), request).error;
}

TEST(NbdRequestCheck, LengthsAtTheMaximumPassAndOneBlockMoreDoesNot) {
  for (uint16_t type : {wire::command_read, wire::command_write}) {
    EXPECT_EQ(refusal(rules(), header(type, 0, 65536 - 4096)), 0);
    EXPECT_EQ(refusal(rules(), header(type, 0, 65536)), 0);
    EXPECT_EQ(refusal(rules(), header(type, 0, 65536 + 4096)), EINVAL);
  }
}

TEST(NbdRequestCheck, NoOffsetAndLengthOverflow) {
  for (uint64_t offset : {~uint64_t{0} - 4095, ~uint64_t{0}, uint64_t{1} << 63})
    EXPECT_NE(refusal(rules(), header(wire::command_read, offset, 4096)), 0);
}

TEST(NbdRequestCheck, TrimAndWriteZeroesOnlyWhereTheyAreOffered) {
  RequestRules bare = rules();
  bare.geometry.can_trim = bare.geometry.can_write_zeroes = false;
  EXPECT_EQ(refusal(bare, header(wire::command_trim, 0, 4096)), EINVAL);
  EXPECT_EQ(refusal(bare, header(wire::command_write_zeroes, 0, 4096)), EINVAL);
}

TEST(NbdRequestCheck, EverythingIsRefusedWhileClosing) {
  RequestRules closing = rules();
  closing.closing = true;
  for (uint16_t type : {0, 1, 3, 4, 6, 7}) EXPECT_EQ(refusal(closing, header(type, 0, 4096)), ESHUTDOWN);
  EXPECT_EQ(refusal(closing, header(99, 0, 4096)), EINVAL);
}

TEST(NbdRequestCheck, WhatPassesIsWithinTheDevice) {
  std::mt19937_64 random(1);
  const RequestRules judged_by = rules();
  for (int i = 0; i < 100'000; ++i) {
    const auto type = static_cast<uint16_t>(random() % 9);
    const uint64_t offset = random() % 3 == 0 ? random() : random() % 300 * 4096;
    const auto length = static_cast<uint32_t>(random() % 3 == 0 ? random() : random() % 300 * 4096);
    const RequestFields request = header(type, offset, length, static_cast<uint16_t>(random() % 16));
    if (refusal(judged_by, request) != 0 || type == wire::command_flush) continue;
    EXPECT_TRUE(length > 0 && offset % 4096 == 0 && length % 4096 == 0 && offset + length <= 1 * mebibyte);
  }
}

TEST(NbdReceiveBuffer, KeepsWhatIsUnreadThroughEveryChangeOfSize) {
  ReceiveBufferShelf shelf;
  ReceiveBuffer buffer(shelf);
  std::mt19937_64 random(2);
  uint8_t next_in = 0;
  uint8_t next_out = 0;
  bool was_large = false;
  for (int i = 0; i < 300; ++i) {
    const std::span<std::byte> room = buffer.prepare(random() % 4 == 0);
    const size_t length = random() % 3 == 0 ? room.size() : random() % room.size();
    for (std::byte& byte : room.first(length)) byte = std::byte{next_in++};
    buffer.received(length);
    was_large |= buffer.capacity() == receive_large_size;
    // At least one byte of room has to be left for the next receive.
    const size_t unread = buffer.unread().size();
    const bool all = unread > buffer.capacity() / 2 || random() % 2 == 0;
    const size_t taken = all ? unread : random() % (unread + 1);
    size_t wrong = 0;
    for (std::byte byte : buffer.unread().first(taken)) wrong += byte != std::byte{next_out++};
    ASSERT_EQ(wrong, 0U);
    buffer.consume(taken);
  }
  EXPECT_TRUE(was_large);
}

TEST(NbdReceiveBuffer, GivesTheLargeBufferBackWhenIdle) {
  ReceiveBufferShelf shelf;
  ReceiveBuffer buffer(shelf);
  buffer.received(buffer.prepare(true).size());
  buffer.consume(receive_small_size);
  EXPECT_EQ(buffer.prepare(false).size(), receive_large_size);
  buffer.received(28);
  buffer.consume(28);
  EXPECT_EQ(buffer.prepare(false).size(), receive_large_size);
  EXPECT_EQ(buffer.prepare(true).size(), receive_small_size);
}

}  // namespace
}  // namespace cairn::test

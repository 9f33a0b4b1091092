// Questions about exports and their answers, as messages between processes.
#include <gtest/gtest.h>

#include "frontend/message_bytes.h"
#include "nbd/description.h"
#include "nbd/limits.h"
#include "nbd/wire.h"

namespace cairn::test {
namespace {

using namespace nbd;
using Contexts = DescriptionQuestion::Contexts;

TEST(NbdDescription, EveryFieldOfAQuestionSurvivesTheMessage) {
  for (Contexts contexts : {Contexts::none, Contexts::listed, Contexts::selected}) {
    const DescriptionQuestion question{"disk", "monday", contexts, {"base:", "", std::string(2000, 'q')}};
    EXPECT_EQ(decode_question(encode_question(question)), question);
  }
}

TEST(NbdDescription, EveryFieldOfAnAnswerSurvivesTheMessage) {
  DescriptionAnswer answer;
  answer.outcome = DescriptionAnswer::Outcome::found;
  answer.description.geometry = {.size = tebibyte,
                                 .logical_block_size = 4096,
                                 .preferred_block_size = 65536,
                                 .read_only = true,
                                 .can_trim = false,
                                 .can_write_zeroes = false};
  answer.description.payload_max = 12345;
  answer.description.description = "about it";
  answer.description.contexts = {"base:allocation", "cairn:changed-since:x"};
  const auto decoded = decode_answer(encode_answer(answer));
  ASSERT_TRUE(decoded.has_value() && decoded->found());
  const Geometry& geometry = decoded->description.geometry;
  EXPECT_EQ(geometry.size, tebibyte);
  EXPECT_EQ(geometry.logical_block_size, 4096U);
  EXPECT_EQ(geometry.preferred_block_size, 65536U);
  EXPECT_TRUE(geometry.read_only && !geometry.can_trim && !geometry.can_write_zeroes);
  EXPECT_EQ(decoded->description.payload_max, 12345U);
  EXPECT_EQ(decoded->description.description, "about it");
  EXPECT_EQ(decoded->description.contexts, answer.description.contexts);
}

TEST(NbdDescription, AMessageThatIsCutOrHasMoreIsRefused) {
  DescriptionAnswer answer;
  answer.description.description = "text";
  answer.description.contexts = {"a", "b"};
  auto answer_bytes = encode_answer(answer);
  auto question_bytes = encode_question({"disk", "s", Contexts::listed, {"q"}});
  for (size_t length = 0; length < answer_bytes.size(); ++length)
    EXPECT_FALSE(decode_answer(std::span(answer_bytes).first(length)).has_value()) << length;
  for (size_t length = 0; length < question_bytes.size(); ++length)
    EXPECT_FALSE(decode_question(std::span(question_bytes).first(length)).has_value()) << length;
  answer_bytes.push_back(std::byte{0});
  question_bytes.push_back(std::byte{0});
  EXPECT_FALSE(decode_answer(answer_bytes).has_value());
  EXPECT_FALSE(decode_question(question_bytes).has_value());
}

TEST(NbdDescription, WhatIsBeyondItsLimitIsRefused) {
  const std::string most(name_length_max, 'n');
  EXPECT_TRUE(decode_question(encode_question({most, most, {}, {}})).has_value());
  EXPECT_FALSE(decode_question(encode_question({most + "n", "", {}, {}})).has_value());
  EXPECT_FALSE(decode_question(encode_question({"", most + "n", {}, {}})).has_value());
  DescriptionAnswer answer;
  answer.description.contexts = {std::string(context_name_max, 'c')};
  EXPECT_TRUE(decode_answer(encode_answer(answer)).has_value());
  answer.description.contexts = {std::string(context_name_max + 1, 'c')};
  EXPECT_FALSE(decode_answer(encode_answer(answer)).has_value());
}

TEST(NbdDescription, ACountOfMoreStringsThanBytesTakesNoMemory) {
  wire::QuestionHeader header;
  header.contexts = 0;
  header.export_length = 0;
  header.snapshot_length = 0;
  header.query_count = 0xffffffff;
  EXPECT_FALSE(decode_question(wire::bytes_of(header)).has_value());
}

}  // namespace
}  // namespace cairn::test

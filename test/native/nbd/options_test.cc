// Option by option: what is granted, what is refused, and with which reply.
#include <list>

#include "test/native/nbd/support/handshake_fixture.h"

namespace cairn::test {
namespace {

using namespace nbd;

constexpr uint16_t all_flags = wire::flag_has_flags | wire::flag_send_flush | wire::flag_send_fua |
                               wire::flag_send_trim | wire::flag_send_write_zeroes | wire::flag_can_multi_conn |
                               wire::flag_send_cache | wire::flag_send_fast_zero;
constexpr uint16_t read_only_flags = wire::flag_has_flags | wire::flag_read_only | wire::flag_send_flush |
                                     wire::flag_send_fua | wire::flag_can_multi_conn | wire::flag_send_cache;

// ---- NBD_OPT_EXPORT_NAME ----

TEST_F(NbdHandshake, ExportNameIsAnsweredWithSizeAndFlagsAlone) {
  const Outcome outcome = ask(wire::option_export_name, "disk");
  EXPECT_EQ(outcome.next, Next::transmit);
  EXPECT_EQ(outcome.chosen, "disk");
  EXPECT_EQ(outcome.output, be64(mebibyte) + be16(all_flags));
}

TEST_F(NbdHandshake, ExportNameIsFollowedByZeroesForAClientThatWantsThem) {
  const std::string input = client_flags(wire::client_fixed_newstyle) + option_bytes(wire::option_export_name, "big");
  EXPECT_EQ(feed(handshake_, input).output, be64(8 * mebibyte) + be16(read_only_flags) + std::string(124, '\0'));
}

TEST_F(NbdHandshake, ExportNameClosesForAnUnknownName) {
  for (const std::string& name :
       {std::string("nope"), std::string("disk\0", 5), std::string(4096, 'n'), std::string(4097, 'n')}) {
    Handshake handshake;
    const Outcome outcome = feed(handshake, client_flags() + option_bytes(wire::option_export_name, name));
    EXPECT_EQ(outcome.next, Next::close);
    EXPECT_EQ(outcome.output, "");
  }
}

// ---- NBD_OPT_ABORT, NBD_OPT_LIST, NBD_OPT_STARTTLS, NBD_OPT_STRUCTURED_REPLY ----

TEST_F(NbdHandshake, AbortIsAcknowledgedAndCloses) {
  for (const char* data : {"", "ignored"}) {
    Handshake handshake;
    const Outcome outcome = feed(handshake, client_flags() + option_bytes(wire::option_abort, data));
    EXPECT_EQ(outcome.next, Next::close);
    EXPECT_EQ(outcome.output, reply_bytes(wire::option_abort, wire::reply_ack));
  }
}

TEST_F(NbdHandshake, ListNamesEveryExportWithItsDescription) {
  const uint32_t list = wire::option_list;
  EXPECT_EQ(ask(list).output, reply_bytes(list, wire::reply_server, counted("big")) +
                                  reply_bytes(list, wire::reply_server, counted("disk") + "a small disk") +
                                  reply_bytes(list, wire::reply_server, counted("far")) +
                                  reply_bytes(list, wire::reply_ack));
}

TEST_F(NbdHandshake, ListOfNoExportsIsAcknowledged) {
  ExportTable none;
  const HandshakeSite site{none, &here_.reactor(), true, false};
  std::vector<std::byte> output;
  const std::string input = option_bytes(wire::option_list, "");
  Handshake handshake{Negotiated{.fixed_newstyle = true}};
  handshake.advance(site, std::as_bytes(std::span(input)), output);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(output.data()), output.size()),
            reply_bytes(wire::option_list, wire::reply_ack));
}

TEST_F(NbdHandshake, OptionsWithoutDataRefuseData) {
  for (uint32_t option : {wire::option_list, wire::option_starttls, wire::option_structured_reply})
    EXPECT_EQ(last_type(ask(option, "x")), wire::reply_error_invalid) << option;
  EXPECT_FALSE(handshake_.negotiated().structured_replies);
}

TEST_F(NbdHandshake, TlsIsRefusedWhereItIsOffAndTheConnectionGoesOn) {
  EXPECT_EQ(last_type(ask(wire::option_starttls)), wire::reply_error_policy);
  EXPECT_EQ(ask(wire::option_go, info_data("disk")).next, Next::transmit);
}

TEST_F(NbdHandshake, StartingTlsForgetsWhatWasAgreedOnInTheClear) {
  site_.tls_available = true;
  ask(wire::option_extended_headers);
  ask(wire::option_set_meta_context, meta_data("disk", {"base:allocation"}));
  EXPECT_EQ(last_type(ask(wire::option_starttls, "x")), wire::reply_error_invalid);
  EXPECT_EQ(ask(wire::option_starttls).next, Next::start_tls);
  const Negotiated& negotiated = handshake_.negotiated();
  EXPECT_TRUE(negotiated.tls && negotiated.fixed_newstyle && negotiated.no_zeroes);
  EXPECT_FALSE(negotiated.structured_replies || negotiated.extended_headers);
  EXPECT_TRUE(negotiated.contexts.empty() && negotiated.meta_export.empty());
  EXPECT_EQ(negotiated.options_seen, 4U);
  EXPECT_EQ(last_type(ask(wire::option_starttls)), wire::reply_error_invalid);
}

TEST_F(NbdHandshake, WhereTlsIsRequiredNothingElseIsAnsweredBefore) {
  site_.tls_available = site_.tls_required = true;
  for (uint32_t option : {wire::option_list, wire::option_info, wire::option_go, wire::option_structured_reply,
                          wire::option_list_meta_context, wire::option_set_meta_context, wire::option_extended_headers,
                          wire::Option{4}, wire::Option{999}})
    EXPECT_EQ(last_type(ask(option, info_data("disk"))), wire::reply_error_tls_required) << option;
  Handshake old;
  EXPECT_EQ(feed(old, client_flags() + option_bytes(wire::option_export_name, "disk")).next, Next::close);
  Handshake leaving;
  EXPECT_EQ(feed(leaving, client_flags() + option_bytes(wire::option_abort, "")).output,
            reply_bytes(wire::option_abort, wire::reply_ack));
  EXPECT_EQ(ask(wire::option_starttls).next, Next::start_tls);
  EXPECT_EQ(ask(wire::option_go, info_data("disk")).next, Next::transmit);
}

TEST_F(NbdHandshake, StructuredRepliesAreGrantedAlsoTwice) {
  EXPECT_EQ(last_type(ask(wire::option_structured_reply)), wire::reply_ack);
  EXPECT_EQ(last_type(ask(wire::option_structured_reply)), wire::reply_ack);
  EXPECT_TRUE(handshake_.negotiated().structured_replies);
}

TEST_F(NbdHandshake, StructuredRepliesAddTheFlagForUnfragmentedReads) {
  ask(wire::option_structured_reply);
  EXPECT_EQ(ask(wire::option_export_name, "disk").output, be64(mebibyte) + be16(all_flags | wire::flag_send_df));
}

// ---- NBD_OPT_INFO and NBD_OPT_GO ----

std::string export_info(uint64_t size, uint16_t flags) { return be16(wire::info_export) + be64(size) + be16(flags); }

TEST_F(NbdHandshake, GoTellsSizeAndFlagsAndEntersTransmission) {
  const uint32_t go = wire::option_go;
  const Outcome outcome = ask(go, info_data("disk"));
  EXPECT_EQ(outcome.next, Next::transmit);
  EXPECT_EQ(outcome.output,
            reply_bytes(go, wire::reply_info, export_info(mebibyte, all_flags)) + reply_bytes(go, wire::reply_ack));
}

TEST_F(NbdHandshake, InfoTellsTheSameAndStaysInTheHandshake) {
  const uint32_t info = wire::option_info;
  const Outcome outcome = ask(info, info_data("big"));
  EXPECT_EQ(outcome.next, Next::haggle);
  EXPECT_EQ(outcome.output, reply_bytes(info, wire::reply_info, export_info(8 * mebibyte, read_only_flags)) +
                                reply_bytes(info, wire::reply_ack));
}

TEST_F(NbdHandshake, InfoTellsWhatIsAskedFor) {
  const auto all = replies(ask(wire::option_info, info_data("disk", {0, 1, 2, 3, 4, 999})).output);
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(all[1].data, be16(wire::info_name) + "disk");
  EXPECT_EQ(all[2].data, be16(wire::info_description) + "a small disk");
  EXPECT_EQ(all[3].data, be16(wire::info_block_size) + be32(512) + be32(4096) +
                             be32(static_cast<uint32_t>(here_.reactor().buffers().piece_max())));
  EXPECT_EQ(all[4].type, wire::reply_ack);
}

TEST_F(NbdHandshake, InfoTellsTheBlockSizesOfAVolumeOf4096ByteBlocks) {
  const auto big = replies(ask(wire::option_info, info_data("big", {wire::info_block_size})).output);
  EXPECT_EQ(big.at(1).data.substr(0, 10), be16(wire::info_block_size) + be32(4096) + be32(4096));
}

TEST_F(NbdHandshake, InfoLeavesAnEmptyDescriptionOut) {
  EXPECT_EQ(replies(ask(wire::option_info, info_data("big", {wire::info_description})).output).size(), 2U);
}

TEST_F(NbdHandshake, InfoOfAnExportOfAnotherProcessIsAskedThere) {
  ask(wire::option_structured_reply);
  std::vector<std::byte> output;
  const std::string input = option_bytes(wire::option_info, info_data("far"));
  const Handshake::Step step = handshake_.advance(site_, std::as_bytes(std::span(input)), output);
  EXPECT_EQ(step.outcome.next, Next::describe);
  EXPECT_EQ(step.outcome.question.export_name, "far");
  EXPECT_TRUE(output.empty());
  EXPECT_EQ(last_type(ask(wire::option_info, info_data("far"))), wire::reply_error_unknown);
}

TEST_F(NbdHandshake, InfoAndGoAnswerUnknownForAnUnknownExport) {
  for (uint32_t option : {wire::option_info, wire::option_go}) {
    for (const std::string& name : {std::string("nope"), std::string(4096, 'n')}) {
      const Outcome outcome = ask(option, info_data(name));
      EXPECT_EQ(outcome.next, Next::haggle);
      EXPECT_EQ(last_type(outcome), wire::reply_error_unknown);
    }
  }
}

TEST_F(NbdHandshake, InfoAndGoAnswerTooBigForANameBeyondTheLimit) {
  for (uint32_t option : {wire::option_info, wire::option_go})
    EXPECT_EQ(last_type(ask(option, info_data(std::string(name_length_max + 1, 'n')))), wire::reply_error_too_big);
}

TEST_F(NbdHandshake, InfoAndGoAnswerInvalidForDataThatEndsAnywhereBefore) {
  const std::string whole = info_data("disk", {0, 3});
  for (uint32_t option : {wire::option_info, wire::option_go})
    for (size_t length = 0; length < whole.size(); ++length)
      EXPECT_EQ(last_type(ask(option, whole.substr(0, length))), wire::reply_error_invalid) << length;
}

TEST_F(NbdHandshake, InfoAndGoAnswerInvalidForDataWithSomethingBehind) {
  EXPECT_EQ(last_type(ask(wire::option_info, info_data("disk") + "x")), wire::reply_error_invalid);
  EXPECT_EQ(last_type(ask(wire::option_go, be32(0xffffffff) + "disk" + be16(0))), wire::reply_error_invalid);
}

TEST_F(NbdHandshake, GoAnswersPolicyWhenTheExportHasAllItsConnections) {
  const std::shared_ptr<Export> disk = exports_.find("disk");
  std::list<ExportUse> uses;
  for (size_t i = 0; i < connections_per_export_max - 1; ++i) uses.emplace_back(disk);
  Handshake another;
  EXPECT_EQ(feed(another, client_flags() + option_bytes(wire::option_go, info_data("disk"))).next, Next::transmit);
  uses.emplace_back(disk);
  EXPECT_EQ(last_type(ask(wire::option_go, info_data("disk"))), wire::reply_error_policy);
  EXPECT_EQ(ask(wire::option_export_name, "disk").next, Next::close);
}

TEST_F(NbdHandshake, TheEmptyNameMeansTheOnlyExport) {
  EXPECT_EQ(last_type(ask(wire::option_go, info_data(""))), wire::reply_error_unknown);  // there are three
  exports_.remove(*exports_.find("big"));
  exports_.remove(*exports_.find("far"));
  const Outcome outcome = ask(wire::option_go, info_data("", {wire::info_name}));
  EXPECT_EQ(outcome.chosen, "disk");
  EXPECT_EQ(replies(outcome.output).at(1).data, be16(wire::info_name) + "disk");
}

TEST_F(NbdHandshake, TheEmptyNameStaysWhatItWasWhereTheConnectionCameFrom) {
  Handshake handshake{Negotiated{.fixed_newstyle = true, .default_export = "big"}};
  EXPECT_EQ(feed(handshake, option_bytes(wire::option_go, info_data(""))).chosen, "big");
}

// ---- Metadata contexts ----

constexpr uint32_t list_meta = wire::option_list_meta_context;
constexpr uint32_t set_meta = wire::option_set_meta_context;

TEST_F(NbdHandshake, MetaContextsNeedStructuredReplies) {
  for (uint32_t option : {list_meta, set_meta})
    EXPECT_EQ(last_type(ask(option, meta_data("disk", {"base:allocation"}))), wire::reply_error_invalid);
}

TEST_F(NbdHandshake, ListingMetaContextsFindsTheOneThereIs) {
  ask(wire::option_structured_reply);
  const std::string found = reply_bytes(list_meta, wire::reply_meta_context, be32(0) + "base:allocation");
  const std::string ack = reply_bytes(list_meta, wire::reply_ack);
  EXPECT_EQ(ask(list_meta, meta_data("disk", {})).output, found + ack);
  EXPECT_EQ(ask(list_meta, meta_data("disk", {"base:"})).output, found + ack);
  EXPECT_EQ(ask(list_meta, meta_data("disk", {"x-y:z", "base:allocation"})).output, found + ack);
  EXPECT_EQ(ask(list_meta, meta_data("disk", {"qemu:dirty", "base:other", "nonsense", ""})).output, ack);
}

TEST_F(NbdHandshake, SettingAMetaContextSelectsItByItsName) {
  ask(wire::option_structured_reply);
  EXPECT_EQ(ask(set_meta, meta_data("disk", {"base:allocation"})).output,
            reply_bytes(set_meta, wire::reply_meta_context, be32(1) + "base:allocation") +
                reply_bytes(set_meta, wire::reply_ack));
  ask(wire::option_go, info_data("disk"));
  EXPECT_EQ(handshake_.negotiated().contexts, std::vector<std::string>{"base:allocation"});
}

TEST_F(NbdHandshake, SettingNoMetaContextSelectsNone) {
  ask(wire::option_structured_reply);
  for (const std::vector<std::string>& queries : {std::vector<std::string>{}, {"base:"}, {"base:other"}, {"qemu:x"}}) {
    ask(set_meta, meta_data("disk", {"base:allocation"}));
    EXPECT_EQ(ask(set_meta, meta_data("disk", queries)).output, reply_bytes(set_meta, wire::reply_ack));
    EXPECT_TRUE(handshake_.negotiated().contexts.empty());
  }
}

TEST_F(NbdHandshake, ASelectionThatFailsDropsTheOneBefore) {
  ask(wire::option_structured_reply);
  ask(set_meta, meta_data("disk", {"base:allocation"}));
  EXPECT_EQ(last_type(ask(set_meta, "x")), wire::reply_error_invalid);
  EXPECT_TRUE(handshake_.negotiated().contexts.empty());
}

TEST_F(NbdHandshake, ASelectionForOneExportDoesNotHoldForAnother) {
  ask(wire::option_structured_reply);
  ask(set_meta, meta_data("disk", {"base:allocation"}));
  EXPECT_EQ(ask(wire::option_go, info_data("big")).next, Next::transmit);
  EXPECT_TRUE(handshake_.negotiated().contexts.empty());
}

TEST_F(NbdHandshake, MetaContextOptionsCheckTheirData) {
  ask(wire::option_structured_reply);
  const std::string whole = meta_data("disk", {"base:allocation", "base:"});
  for (uint32_t option : {list_meta, set_meta}) {
    for (size_t length = 0; length < whole.size(); ++length)
      EXPECT_EQ(last_type(ask(option, whole.substr(0, length))), wire::reply_error_invalid) << length;
    EXPECT_EQ(last_type(ask(option, whole + "x")), wire::reply_error_invalid);
    EXPECT_EQ(last_type(ask(option, meta_data("nope", {}))), wire::reply_error_unknown);
    EXPECT_EQ(last_type(ask(option, meta_data(std::string(4097, 'n'), {}))), wire::reply_error_too_big);
  }
}

}  // namespace
}  // namespace cairn::test

#include "nbd/description.h"

#include "frontend/message_bytes.h"
#include "nbd/limits.h"
#include "nbd/wire.h"

namespace cairn::nbd {

uint16_t transmission_flags(const ExportDescription& description, const Negotiated& negotiated) {
  const Geometry& geometry = description.geometry;
  // All connections of a volume share one device, with one cache or none: multi-conn is true.
  uint16_t flags = wire::flag_has_flags | wire::flag_send_flush | wire::flag_send_fua | wire::flag_can_multi_conn |
                   wire::flag_send_cache;
  if (geometry.read_only) flags |= wire::flag_read_only;
  if (geometry.can_trim && !geometry.read_only) flags |= wire::flag_send_trim;
  if (geometry.can_write_zeroes && !geometry.read_only)
    flags |= wire::flag_send_write_zeroes | wire::flag_send_fast_zero;
  if (negotiated.structured_replies) flags |= wire::flag_send_df;
  if (negotiated.extended_headers && !negotiated.contexts.empty()) flags |= wire::flag_block_status_payload;
  return flags;
}

std::vector<std::byte> encode_question(const DescriptionQuestion& question) {
  wire::QuestionHeader header;
  header.contexts = static_cast<uint16_t>(question.contexts);
  header.export_length = static_cast<uint32_t>(question.export_name.size());
  header.snapshot_length = static_cast<uint32_t>(question.snapshot.size());
  header.query_count = static_cast<uint32_t>(question.queries.size());
  MessageWriter message;
  message.add(header);
  message.add_text(question.export_name);
  message.add_text(question.snapshot);
  for (const std::string& query : question.queries) message.add_counted(query);
  return message.finish();
}

std::optional<DescriptionQuestion> decode_question(std::span<const std::byte> bytes) {
  MessageReader message(bytes);
  const auto header = message.take<wire::QuestionHeader>();
  if (!header || header->magic != wire::question_magic || header->version != wire::description_version)
    return std::nullopt;
  if (header->contexts > static_cast<uint16_t>(DescriptionQuestion::Contexts::selected)) return std::nullopt;
  if (header->export_length > name_length_max || header->snapshot_length > name_length_max) return std::nullopt;
  auto export_name = message.take_text(header->export_length);
  auto snapshot = message.take_text(header->snapshot_length);
  auto queries = message.take_strings(header->query_count, option_length_max);
  if (!export_name || !snapshot || !queries || !message.at_end()) return std::nullopt;
  return DescriptionQuestion{std::move(*export_name), std::move(*snapshot),
                             static_cast<DescriptionQuestion::Contexts>(static_cast<uint16_t>(header->contexts)),
                             std::move(*queries)};
}

std::vector<std::byte> encode_answer(const DescriptionAnswer& answer) {
  const ExportDescription& description = answer.description;
  const Geometry& geometry = description.geometry;
  wire::AnswerHeader header;
  header.outcome = static_cast<uint16_t>(answer.outcome);
  header.flags = static_cast<uint16_t>((geometry.read_only ? unsigned{wire::answer_read_only} : 0) |
                                       (geometry.can_trim ? unsigned{wire::answer_can_trim} : 0) |
                                       (geometry.can_write_zeroes ? unsigned{wire::answer_can_write_zeroes} : 0));
  header.size = geometry.size;
  header.block_minimum = geometry.logical_block_size;
  header.block_preferred = geometry.preferred_block_size;
  header.payload_maximum = description.payload_max;
  header.description_length = static_cast<uint32_t>(description.description.size());
  header.context_count = static_cast<uint32_t>(description.contexts.size());
  MessageWriter message;
  message.add(header);
  message.add_text(description.description);
  for (const std::string& context : description.contexts) message.add_counted(context);
  return message.finish();
}

std::optional<DescriptionAnswer> decode_answer(std::span<const std::byte> bytes) {
  MessageReader message(bytes);
  const auto header = message.take<wire::AnswerHeader>();
  if (!header || header->magic != wire::answer_magic || header->version != wire::description_version)
    return std::nullopt;
  if (header->outcome > static_cast<uint16_t>(DescriptionAnswer::Outcome::full)) return std::nullopt;
  if (header->description_length > name_length_max) return std::nullopt;
  auto text = message.take_text(header->description_length);
  auto contexts = message.take_strings(header->context_count, context_name_max);
  if (!text || !contexts || !message.at_end()) return std::nullopt;
  DescriptionAnswer answer;
  answer.outcome = static_cast<DescriptionAnswer::Outcome>(static_cast<uint16_t>(header->outcome));
  Geometry& geometry = answer.description.geometry;
  geometry.size = header->size;
  geometry.logical_block_size = header->block_minimum;
  geometry.preferred_block_size = header->block_preferred;
  geometry.read_only = (header->flags & wire::answer_read_only) != 0;
  geometry.can_trim = (header->flags & wire::answer_can_trim) != 0;
  geometry.can_write_zeroes = (header->flags & wire::answer_can_write_zeroes) != 0;
  answer.description.payload_max = header->payload_maximum;
  answer.description.description = std::move(*text);
  answer.description.contexts = std::move(*contexts);
  return answer;
}

}  // namespace cairn::nbd

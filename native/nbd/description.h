#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "block/block_device.h"
#include "nbd/negotiated.h"

namespace cairn::nbd {

/// What a handshake asks of an export, or of a snapshot of its volume, where that is.
struct DescriptionQuestion {
  enum class Contexts : uint8_t { none, listed, selected };  // how `queries` are meant

  std::string export_name;
  std::string snapshot;  // empty: the export itself
  Contexts contexts = Contexts::none;
  std::vector<std::string> queries;

  friend bool operator==(const DescriptionQuestion&, const DescriptionQuestion&) = default;
};

/// What an export says of itself at this moment: an online grow changes it.
struct ExportDescription {
  Geometry geometry;         // read-only also where only the export is
  uint32_t payload_max = 0;  // bytes of one request
  std::string description;   // for people, may be empty
  std::vector<std::string> contexts;
};

struct DescriptionAnswer {
  enum class Outcome : uint8_t {
    found,
    unknown,      // no such export or snapshot
    unreachable,  // of another process, which does not answer
    full,         // it has all the connections that it may have
  };
  Outcome outcome = Outcome::unknown;
  ExportDescription description;  // when found

  bool found() const { return outcome == Outcome::found; }
};

/// NBD's transmission flags for a connection.
uint16_t transmission_flags(const ExportDescription& description, const Negotiated& negotiated);

// The question and its answer as messages between processes (docs/protocols/nbd.md). Nothing for a message that this
// version cannot read.
std::vector<std::byte> encode_question(const DescriptionQuestion& question);
std::optional<DescriptionQuestion> decode_question(std::span<const std::byte> message);
std::vector<std::byte> encode_answer(const DescriptionAnswer& answer);
std::optional<DescriptionAnswer> decode_answer(std::span<const std::byte> message);

}  // namespace cairn::nbd

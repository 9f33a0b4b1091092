// What RECEIVE COPY RESULTS tells an initiator of its copies (SPC-4 section 6.24), the last few of each nexus.
#pragma once

#include <array>
#include <cstdint>

#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/sense.h"

namespace cairn::scsi {

/// SPC-4 table 267.
enum class CopyStatus : uint8_t { in_progress = 0x00, completed = 0x01, completed_with_errors = 0x02 };

struct CopyResult {
  bool used = false;
  uint8_t list_id = 0;
  CopyStatus status = CopyStatus::in_progress;
  uint16_t segments = 0;  // that are done
  uint64_t bytes = 0;
  Outcome outcome;
};

class CopyResults {
 public:
  CopyResult* find(uint8_t list_id) {
    for (CopyResult& each : results_)
      if (each.used && each.list_id == list_id) return &each;
    return nullptr;
  }

  /// Room for a copy that begins: where one of this name was, else that of the oldest which has ended. Null: all of
  /// them still run.
  CopyResult* begin(uint8_t list_id) {
    CopyResult* result = find(list_id);
    for (size_t i = 0; i < results_.size() && result == nullptr; ++i) {
      CopyResult& oldest = results_[next_++ % results_.size()];
      if (!oldest.used || oldest.status != CopyStatus::in_progress) result = &oldest;
    }
    if (result != nullptr) *result = {.used = true, .list_id = list_id, .outcome = {}};
    return result;
  }

 private:
  std::array<CopyResult, copies_max> results_;
  size_t next_ = 0;
};

}  // namespace cairn::scsi

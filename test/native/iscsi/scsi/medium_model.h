// What commands of the medium do, said once more and as plainly as possible: on a string.
#pragma once

#include <string>

#include "iscsi/scsi/command.h"

namespace cairn::test {

class MediumModel {
 public:
  MediumModel(size_t size, size_t block_size, size_t transfer_max)
      : content(size, '\0'), block(block_size), transfer_max_(transfer_max) {}

  struct Expected {
    unsigned status = 0;
    unsigned key = 0;
    unsigned code = 0;
    std::string data_in;
    friend bool operator==(const Expected&, const Expected&) = default;
  };
  /// Of a CDB without reserved bits, with as much data as came.
  Expected execute(const scsi::Cdb& cdb, const std::string& data);
  uint64_t blocks() const { return content.size() / block; }

  std::string content;
  size_t block;

 private:
  struct Fields {
    uint64_t first;
    uint64_t count;
  };
  Fields fields(const scsi::Cdb& cdb) const;
  bool beyond(const Fields& range) const { return range.first > blocks() || range.count > blocks() - range.first; }
  Expected verify(const scsi::Cdb& cdb, const Fields& range, const std::string& data) const;
  Expected write(const Fields& range, const std::string& data);
  Expected or_write(const Fields& range, const std::string& data);
  Expected write_same(const scsi::Cdb& cdb, Fields range, const std::string& data);
  Expected compare_and_write(const Fields& range, const std::string& data);
  Expected prefetch(Fields range) const;
  Expected unmap(const scsi::Cdb& cdb, const std::string& list);

  size_t transfer_max_;
};

}  // namespace cairn::test

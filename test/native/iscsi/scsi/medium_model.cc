#include "test/native/iscsi/scsi/medium_model.h"

#include <algorithm>

#include "base/byte_order.h"
#include "iscsi/scsi/limits.h"

namespace cairn::test {
namespace {

using Expected = MediumModel::Expected;

const Expected done{};
const Expected condition_met{.status = 4, .data_in = {}};
const Expected out_of_range{.status = 2, .key = 5, .code = 0x2100, .data_in = {}};
const Expected invalid_field{.status = 2, .key = 5, .code = 0x2400, .data_in = {}};
const Expected invalid_parameter{.status = 2, .key = 5, .code = 0x2600, .data_in = {}};
const Expected wrong_list_length{.status = 2, .key = 5, .code = 0x1a00, .data_in = {}};
const Expected wrong_data{.status = 2, .key = 5, .code = 0x2400, .data_in = {}};
const Expected miscompare{.status = 2, .key = 0xe, .code = 0x1d00, .data_in = {}};

}  // namespace

MediumModel::Fields MediumModel::fields(const scsi::Cdb& cdb) const {
  switch (cdb[0] >> 5) {
    case 0:
      return {load_be32(&cdb[0]) & 0x1fffff, cdb[4] == 0 ? 256U : cdb[4]};
    case 5:
      return {load_be32(&cdb[2]), load_be32(&cdb[6])};
    case 4:
      return {load_be64(&cdb[2]), cdb[0] == 0x89 ? cdb[13] : load_be32(&cdb[10])};
    default:
      return {load_be32(&cdb[2]), load_be16(&cdb[7])};
  }
}

Expected MediumModel::execute(const scsi::Cdb& cdb, const std::string& data) {
  if (cdb[0] == 0x42) return unmap(cdb, data);
  const Fields range = fields(cdb);
  const bool to_the_end = cdb[0] == 0x41 || cdb[0] == 0x93 || cdb[0] == 0x34 || cdb[0] == 0x90;
  const bool verifies = cdb[0] == 0x2f || cdb[0] == 0xaf || cdb[0] == 0x8f;
  if (verifies && (cdb[1] & 6) == 4) return invalid_field;
  if (beyond(range)) return out_of_range;
  const bool synchronizes = cdb[0] == 0x35 || cdb[0] == 0x91;
  if (!to_the_end && !synchronizes && cdb[0] != 0x89 && range.count > transfer_max_ / block) return invalid_field;
  if (verifies) return verify(cdb, range, data);
  switch (cdb[0]) {
    case 0x08:
    case 0x28:
    case 0xa8:
    case 0x88:
      return {.data_in = content.substr(range.first * block, range.count * block)};
    case 0x35:
    case 0x91:
      return done;
    case 0x8b:
      return or_write(range, data);
    case 0x41:
    case 0x93:
      return write_same(cdb, range, data);
    case 0x89:
      return compare_and_write(range, data);
    case 0x34:
    case 0x90:
      return prefetch(range);
    default:
      return write(range, data);
  }
}

Expected MediumModel::verify(const scsi::Cdb& cdb, const Fields& range, const std::string& data) const {
  if (range.count == 0 || (cdb[1] & 6) == 0) return done;
  std::string wanted = data;
  if ((cdb[1] & 6) == 6) {
    if (data.size() < block) return wrong_data;
    wanted.clear();
    for (uint64_t i = 0; i < range.count; ++i) wanted += data.substr(0, block);
  }
  if (wanted.size() < range.count * block) return wrong_data;
  return content.compare(range.first * block, range.count * block, wanted, 0, range.count * block) == 0 ? done
                                                                                                        : miscompare;
}

Expected MediumModel::write(const Fields& range, const std::string& data) {
  const size_t whole = std::min<size_t>(data.size() / block, range.count) * block;
  content.replace(range.first * block, whole, data, 0, whole);
  return done;
}

Expected MediumModel::or_write(const Fields& range, const std::string& data) {
  const size_t whole = std::min<size_t>(data.size() / block, range.count) * block;
  for (size_t i = 0; i < whole; ++i)
    content[range.first * block + i] = static_cast<char>(content[range.first * block + i] | data[i]);
  return done;
}

Expected MediumModel::write_same(const scsi::Cdb& cdb, Fields range, const std::string& data) {
  if (range.count == 0) return invalid_field;
  const bool no_data = (cdb[1] & 1) != 0;
  if (!no_data && data.size() < block) return wrong_data;
  for (uint64_t i = 0; i < range.count; ++i)
    content.replace((range.first + i) * block, block, no_data ? std::string(block, '\0') : data.substr(0, block));
  return done;
}

Expected MediumModel::compare_and_write(const Fields& range, const std::string& data) {
  if (range.count > std::min<size_t>(255, transfer_max_ / block / 2)) return invalid_field;
  const size_t half = range.count * block;
  if (data.size() < 2 * half) return wrong_data;
  if (content.compare(range.first * block, half, data, 0, half) != 0) return miscompare;
  content.replace(range.first * block, half, data, half, half);
  return done;
}

Expected MediumModel::prefetch(Fields range) const {
  return range.count == 0 && range.first == blocks() ? done : condition_met;
}

Expected MediumModel::unmap(const scsi::Cdb& cdb, const std::string& list) {
  const size_t length = load_be16(&cdb[7]);
  if (length == 0) return done;
  const size_t needed = std::min<size_t>(length, 8 + 16 * scsi::unmap_descriptors_max);
  if (length < 8 || list.size() < needed || load_be16(list.data()) + 2U > length) return wrong_list_length;
  const size_t descriptors = load_be16(list.data() + 2);
  if (descriptors > 0 && descriptors + 6U > load_be16(list.data())) return invalid_parameter;
  if (descriptors / 16 > scsi::unmap_descriptors_max) return invalid_parameter;
  for (size_t at = 8; at + 16 <= 8 + descriptors; at += 16)
    if (beyond({load_be64(&list[at]), load_be32(&list[at + 8])})) return out_of_range;
  for (size_t at = 8; at + 16 <= 8 + descriptors; at += 16) {
    const size_t bytes = load_be32(&list[at + 8]) * block;
    content.replace(load_be64(&list[at]) * block, bytes, bytes, '\0');
  }
  return done;
}

}  // namespace cairn::test

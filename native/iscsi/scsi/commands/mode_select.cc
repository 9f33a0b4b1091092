// MODE SELECT (SPC-4 sections 6.11 and 6.12). Nothing is changed by a list that is refused.
#include <algorithm>
#include <array>

#include "base/byte_order.h"
#include "iscsi/scsi/commands/table.h"
#include "iscsi/scsi/limits.h"
#include "iscsi/scsi/logical_unit.h"
#include "iscsi/scsi/mode_pages/table.h"
#include "iscsi/scsi/parameter_data.h"

namespace cairn::scsi {
namespace {

constexpr uint8_t cdb_page_format = 0x10;  // PF
constexpr uint8_t cdb_save = 0x01;         // SP
constexpr uint8_t has_subpage = 0x40;      // SPF
constexpr uint8_t long_addresses = 0x01;   // LONGLBA

bool of_6(const Cdb& cdb) { return cdb_length(cdb[0]) == 6; }
size_t list_length(const Cdb& cdb) { return of_6(cdb) ? cdb[4] : load_be16(&cdb[7]); }
Outcome too_short() { return illegal_request(SenseCode::parameter_list_length_error); }

/// Without PF the pages would be of no standard's format; and nothing can be saved.
Judgement judge(LogicalUnit&, const Cdb& cdb) {
  const bool empty = list_length(cdb) == 0;
  if (!empty && (cdb[1] & cdb_page_format) == 0) return invalid_field(1, 4);
  if ((cdb[1] & cdb_save) != 0) return invalid_field(1, 0);
  return Needs{.data_out = std::min(list_length(cdb), parameter_data_max)};
}

/// A parameter list, read from its begin to its end.
struct List {
  std::span<const uint8_t> bytes;
  size_t at = 0;

  std::span<const uint8_t> rest() const { return bytes.subspan(at); }
  Outcome wrong(size_t byte, int8_t bit = -1) const { return invalid_parameter(static_cast<uint16_t>(at + byte), bit); }
};

/// Block descriptors change nothing: they name the capacity, or leave it open.
std::optional<Outcome> check_descriptor(LogicalUnit& unit, const List& list, bool is_long) {
  const std::span<const uint8_t> descriptor = list.rest();
  const uint64_t blocks = is_long ? load_be64(&descriptor[0]) : load_be32(&descriptor[0]);
  const uint64_t open = is_long ? UINT64_MAX : UINT32_MAX;
  if (blocks != 0 && blocks != open && blocks != unit.block_count()) return list.wrong(0);
  const uint32_t size = is_long ? load_be32(&descriptor[12]) : load_be32(&descriptor[4]) & 0xffffff;
  if (size != unit.block_size()) return list.wrong(is_long ? 12 : 5);
  return {};
}

/// The mode data length is reserved here, and what the device says of itself is not for initiators to set.
std::optional<Outcome> read_header(LogicalUnit& unit, bool is_of_6, List& list) {
  const size_t header = is_of_6 ? 4 : 8;
  const std::span<const uint8_t> bytes = list.bytes;
  if (bytes.size() < header) return too_short();
  const size_t medium_type = is_of_6 ? 1 : 2;
  if (bytes[medium_type] != 0) return list.wrong(medium_type);
  const bool is_long = !is_of_6 && (bytes[4] & long_addresses) != 0;
  const size_t described = is_of_6 ? bytes[3] : load_be16(&bytes[6]);
  const size_t descriptor = is_long ? 16 : 8;
  if (described != 0 && described != descriptor) return list.wrong(is_of_6 ? 3 : 6);
  if (bytes.size() < header + described) return too_short();
  list.at = header;
  if (described != 0)
    if (std::optional<Outcome> wrong = check_descriptor(unit, list, is_long)) return wrong;
  list.at += described;
  return {};
}

/// What differs from the page as it is, and cannot be changed, is wrong: the first such byte is told.
std::optional<Outcome> check_unchanged(const List& list, const ModePage& page, const ModeParameters& current) {
  ParameterData as_it_is;
  put_mode_page(page, PageControl::current, current, as_it_is);
  for (size_t i = page.subpage == 0 ? 2 : 4; i < page.size; ++i) {
    const uint8_t changeable = page.read != nullptr && page.changeable.byte == i ? page.changeable.bits : 0;
    if (((list.rest()[i] ^ as_it_is[i]) & ~changeable) != 0) return list.wrong(i);
  }
  return {};
}

/// One page, into the parameters.
std::optional<Outcome> read_page(List& list, const ModeParameters& current, ModeParameters& parameters) {
  const std::span<const uint8_t> bytes = list.rest();
  const bool subpaged = (bytes[0] & has_subpage) != 0;
  if (bytes.size() < (subpaged ? size_t{4} : size_t{2})) return too_short();
  const ModePage* page = find_mode_page(bytes[0] & 0x3f, subpaged ? bytes[1] : 0);
  if (page == nullptr || subpaged != (page->subpage != 0)) return list.wrong(0, 5);
  const size_t size = subpaged ? 4 + load_be16(&bytes[2]) : 2 + bytes[1];
  if (size != page->size) return list.wrong(subpaged ? 2 : 1);
  if (bytes.size() < size) return too_short();
  if (std::optional<Outcome> wrong = check_unchanged(list, *page, current)) return wrong;
  if (page->read != nullptr) page->read(bytes, parameters);
  list.at += size;
  return {};
}

Task<Outcome> run(LogicalUnit& unit, Command command) {
  const size_t expected = std::min(list_length(command.cdb), parameter_data_max);
  if (expected == 0) co_return good();
  if (command.data_out.size() < expected) co_return too_short();
  List list{{reinterpret_cast<const uint8_t*>(command.data_out.data()), expected}};
  if (std::optional<Outcome> wrong = read_header(unit, of_6(command.cdb), list)) co_return *wrong;
  ModeParameters parameters = unit.mode();
  while (list.at < list.bytes.size())
    if (std::optional<Outcome> wrong = read_page(list, unit.mode(), parameters)) co_return *wrong;
  co_return co_await unit.set_mode(parameters, &command.nexus);
}

constexpr CommandRow row(uint8_t opcode, Cdb usage) {
  return {.opcode = opcode, .usage = usage, .reservation = ReservationRule::writes, .judge = judge, .run = run};
}

}  // namespace

constexpr CommandRow mode_select_6 = row(0x15, {0x15, cdb_page_format | cdb_save, 0x00, 0x00, 0xff});
constexpr CommandRow mode_select_10 =
    row(0x55, {0x55, cdb_page_format | cdb_save, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff});

}  // namespace cairn::scsi

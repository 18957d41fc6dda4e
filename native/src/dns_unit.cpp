// Layer native. See dns_unit.hpp.
#include "dns_unit.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "dns_query.hpp"

namespace nodeplane::dns {
namespace {

constexpr std::size_t kMaxTextBytes = 4 << 20;

template <typename T>
T load(std::span<const std::uint8_t> from, std::size_t at) {
  T value{};
  std::memcpy(&value, from.data() + at, sizeof value);
  return value;
}

/// Whole labels without the root. @returns how many, -1 when the octets are something else
int count_labels(std::span<const std::uint8_t> labels) {
  int count = 0;
  std::size_t at = 0;
  while (at < labels.size()) {
    const std::size_t label = labels[at];
    if (label == 0 || label > 63 || at + 1 + label > labels.size()) return -1;
    at += label + 1;
    count++;
  }
  return count;
}

bool is_less(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  if (a.size() != b.size()) return a.size() < b.size();
  return !a.empty() && std::memcmp(a.data(), b.data(), a.size()) < 0;
}

bool is_sound(const Unit& unit) {
  const int labels = count_labels(unit.key());
  if (labels != (unit.kind == UnitKind::kNamespace ? 1 : 2)) return false;
  if (unit.kind == UnitKind::kAlias && unit.target().empty()) return false;
  if (unit.kind == UnitKind::kNamespace && unit.node_count > 0) return false;
  std::span<const std::uint8_t> before;
  for (std::size_t i = 0; i < unit.node_count; i++) {
    const Node& node = unit.nodes()[i];
    if (std::size_t{node.text_at} + node.text_bytes > unit.text_bytes || count_labels(unit.text(node)) < 0) return false;
    // Together with key, `svc` and zone the name may get too long: that is checked where it is written.
    if (i > 0 && !is_less(before, unit.text(node))) return false;
    before = unit.text(node);
    if (node.v4_at + node.v4_count > unit.v4_count || node.v6_at + node.v6_count > unit.v6_count) return false;
    if (node.srv_at + node.srv_count > unit.srv_count) return false;
  }
  return std::all_of(unit.srvs().begin(), unit.srvs().end(),
                     [&](const Srv& srv) { return srv.node() < unit.node_count; });
}

}  // namespace

std::span<const std::uint8_t> Unit::target() const {
  const std::span<const std::uint8_t> rest(texts() + key_bytes, text_bytes - key_bytes);
  return rest.first(name_length(rest));
}

const Node* Unit::find(std::span<const std::uint8_t> labels) const {
  const auto all = nodes();
  const auto found = std::lower_bound(all.begin(), all.end(), labels,
                                      [&](const Node& node, auto wanted) { return is_less(text(node), wanted); });
  if (found == all.end()) return nullptr;
  const auto known = text(*found);
  const bool is_equal = known.size() == labels.size() &&
                        (labels.empty() || std::memcmp(known.data(), labels.data(), labels.size()) == 0);
  return is_equal ? &*found : nullptr;
}

UnitPointer read_unit(std::span<const std::uint8_t> record) {
  if (record.size() < kUnitRecordBytes || record[1] > static_cast<std::uint8_t>(UnitKind::kLeft)) return nullptr;
  const auto nodes = load<std::uint16_t>(record, 4);
  const auto v4 = load<std::uint16_t>(record, 6);
  const auto v6 = load<std::uint16_t>(record, 8);
  const auto srvs = load<std::uint16_t>(record, 10);
  const auto texts = load<std::uint32_t>(record, 12);
  if (texts > kMaxTextBytes || record[3] > texts || nodes > 0x7fff) return nullptr;
  const std::size_t body = sizeof(Node) * nodes + sizeof(Srv) * srvs + 4U * v4 + 16U * v6 + texts;
  if (record.size() != kUnitRecordBytes + body) return nullptr;
  void* memory = std::malloc(sizeof(Unit) + body);
  if (memory == nullptr) return nullptr;
  UnitPointer unit(new (memory) Unit{});
  unit->view = record[0];
  unit->kind = static_cast<UnitKind>(record[1]);
  unit->flags = record[2];
  unit->key_bytes = record[3];
  unit->node_count = nodes;
  unit->v4_count = v4;
  unit->v6_count = v6;
  unit->srv_count = srvs;
  unit->text_bytes = texts;
  std::memcpy(reinterpret_cast<std::uint8_t*>(unit.get() + 1), record.data() + kUnitRecordBytes, body);
  return is_sound(*unit) ? std::move(unit) : nullptr;
}

}  // namespace nodeplane::dns

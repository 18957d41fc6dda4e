// Layer native. See dns_finding.hpp.
#include "dns_finding.hpp"

#include <arpa/inet.h>

#include <cstring>

namespace nodeplane::dns {
namespace {

Finding simply(Found kind) { return Finding{.kind = kind}; }

/// 0 to 255 without leading zeros; -1 for anything else.
int octet_of(std::span<const std::uint8_t> digits) {
  if (digits.empty() || digits.size() > 3 || (digits[0] == '0' && digits.size() > 1)) return -1;
  int value = 0;
  for (const std::uint8_t digit : digits) {
    if (digit < '0' || digit > '9') return -1;
    value = value * 10 + digit - '0';
  }
  return value <= 255 ? value : -1;
}

int nibble_of(std::span<const std::uint8_t> digits) {
  if (digits.size() != 1) return -1;
  if (digits[0] >= '0' && digits[0] <= '9') return digits[0] - '0';
  return digits[0] >= 'a' && digits[0] <= 'f' ? digits[0] - 'a' + 10 : -1;
}

/// Four groups of one to three digits: IPv4, whatever the numbers.
bool looks_like_v4(std::span<const std::uint8_t> label) {
  std::size_t digits = 0;
  std::size_t dashes = 0;
  for (const std::uint8_t octet : label) {
    if (octet == '-') {
      if (digits == 0) return false;
      digits = 0;
      dashes++;
      continue;
    }
    if (octet < '0' || octet > '9' || ++digits > 3) return false;
  }
  return dashes == 3 && digits > 0;
}

/// `10-1-2-3`, `fd00--5`. Spellings of IPv6 that inet_pton does not take are left to the chain.
Finding pod_address(std::span<const std::uint8_t> label) {
  Finding finding{.kind = Found::kPod};
  std::array<char, 64> text{};
  const bool is_v4 = looks_like_v4(label);
  for (std::size_t i = 0; i < label.size(); i++) {
    const bool is_hex = (label[i] >= '0' && label[i] <= '9') || (label[i] >= 'a' && label[i] <= 'f');
    if (label[i] != '-' && !is_hex) return simply(Found::kMissing);
    text[i] = label[i] != '-' ? static_cast<char>(label[i]) : is_v4 ? '.' : ':';
  }
  finding.address_bytes = is_v4 ? 4 : 16;
  if (inet_pton(is_v4 ? AF_INET : AF_INET6, text.data(), finding.address.data()) == 1) return finding;
  return simply(is_v4 ? Found::kMissing : Found::kLeft);
}

Finding find_pod(const Names& names, const View& view, const Labels& labels, std::size_t left) {
  if (left == 1) return simply(Found::kEmpty);
  if (view.pods == PodMode::kDisabled) return simply(Found::kMissing);
  if (view.pods == PodMode::kLeft) return simply(Found::kLeft);
  if (names.find(view.id, labels.part(left - 2, left - 1)) == nullptr) return simply(Found::kMissing);
  if (left == 2) return simply(Found::kEmpty);
  return left == 3 ? pod_address(labels.label(0)) : simply(Found::kMissing);
}

/// `ZONE.pin._zone` and `ZONE.prefer._zone` of zones without endpoints: what stands under `*`.
const Node* any_zone(const Unit& unit, const Labels& labels, std::size_t below) {
  if (!labels.is(below - 1, "_zone")) return nullptr;
  std::array<std::uint8_t, 2 + 64 + 64> wire{1, '*'};
  const auto tail = labels.part(below - 2, below);
  std::memcpy(wire.data() + 2, tail.data(), tail.size());
  return unit.find({wire.data(), 2 + tail.size()});
}

Finding find_service(const Names& names, const View& view, const Labels& labels, std::size_t left) {
  if (left == 1) return simply(Found::kEmpty);
  if (left == 2) {
    const bool is_there = names.find(view.id, labels.part(0, 1)) != nullptr;
    return simply(is_there ? Found::kEmpty : Found::kMissing);
  }
  const Unit* unit = names.find(view.id, labels.part(left - 3, left - 1));
  if (unit == nullptr) return simply(Found::kMissing);
  if (unit->kind == UnitKind::kLeft) return simply(Found::kLeft);
  if (unit->kind == UnitKind::kAlias) {
    return left == 3 ? Finding{.kind = Found::kAlias, .unit = unit} : simply(Found::kMissing);
  }
  const std::size_t below = left - 3;
  const Node* node = unit->find(labels.part(0, below));
  if (node == nullptr && below > 2 && (unit->flags & kZonal) != 0) node = any_zone(*unit, labels, below);
  if (node == nullptr) return simply(Found::kMissing);
  return Finding{.kind = Found::kNode, .unit = unit, .node = node};
}

/// Leading labels of the whole name, whatever the zone: the reverse tree begins at its own suffix.
Finding find_reverse(const Labels& labels) {
  Finding finding{.kind = Found::kPointer};
  if (labels.count < 2 || !labels.is(labels.count - 1, "arpa")) return simply(Found::kMissing);
  const std::size_t digits = labels.count - 2;
  const bool is_v4 = labels.is(digits, "in-addr");
  if (!is_v4 && !labels.is(digits, "ip6")) return simply(Found::kMissing);
  const std::size_t whole = is_v4 ? 4 : 32;
  if (digits > whole) return simply(Found::kMissing);
  for (std::size_t i = 0; i < digits; i++) {
    const auto label = labels.label(digits - 1 - i);
    const int value = is_v4 ? octet_of(label) : nibble_of(label);
    if (value < 0) return simply(Found::kMissing);
    if (is_v4) {
      finding.address[i] = static_cast<std::uint8_t>(value);
    } else {
      finding.address[i / 2] = static_cast<std::uint8_t>(finding.address[i / 2] | (value << (i % 2 == 0 ? 4 : 0)));
    }
  }
  finding.address_bytes = is_v4 ? 4 : 16;
  return digits == whole ? finding : simply(Found::kLeft);
}

}  // namespace

Finding find_name(const Names& names, const View& view, const Labels& labels, std::size_t left, bool is_reverse) {
  if (left == 0) return simply(Found::kApex);
  if (is_reverse) return find_reverse(labels);
  if (labels.is(left - 1, "svc")) return find_service(names, view, labels, left);
  if (labels.is(left - 1, "pod")) return find_pod(names, view, labels, left);
  if (labels.is(left - 1, "dns-version")) return simply(left == 1 ? Found::kVersion : Found::kMissing);
  if (!labels.is(left - 1, "dns")) return simply(Found::kMissing);
  if (left == 1) return simply(Found::kEmpty);
  return simply(left == 2 && labels.is(0, "ns") ? Found::kLeft : Found::kMissing);
}

}  // namespace nodeplane::dns

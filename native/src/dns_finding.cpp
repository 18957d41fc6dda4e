// Layer native. See dns_finding.hpp.
#include "dns_finding.hpp"

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

/// `10-1-2-3`. Other spellings of addresses are left to the chain, which knows IPv6 too.
Finding pod_address(std::span<const std::uint8_t> label) {
  Finding finding{.kind = Found::kPod, .address_bytes = 4};
  std::size_t start = 0;
  std::size_t part = 0;
  bool is_v4 = true;
  for (std::size_t i = 0; i <= label.size(); i++) {
    if (i < label.size() && label[i] != '-') {
      const bool is_hex = (label[i] >= '0' && label[i] <= '9') || (label[i] >= 'a' && label[i] <= 'f');
      if (!is_hex) return simply(Found::kMissing);
      continue;
    }
    const int octet = octet_of(label.subspan(start, i - start));
    if (octet < 0 || part > 3) {
      is_v4 = false;
    } else {
      finding.address[part] = static_cast<std::uint8_t>(octet);
    }
    part++;
    start = i + 1;
  }
  return is_v4 && part == 4 ? finding : simply(Found::kLeft);
}

Finding find_pod(const Names& names, const View& view, const Labels& labels, std::size_t left) {
  if (left == 1) return simply(Found::kEmpty);
  if (view.pods == PodMode::kDisabled) return simply(Found::kMissing);
  if (view.pods == PodMode::kLeft) return simply(Found::kLeft);
  if (names.find(view.id, labels.part(left - 2, left - 1)) == nullptr) return simply(Found::kMissing);
  if (left == 2) return simply(Found::kEmpty);
  return left == 3 ? pod_address(labels.label(0)) : simply(Found::kMissing);
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
  if (below > 0 && (unit->flags & kZonal) != 0 && labels.is(below - 1, "_zone")) return simply(Found::kLeft);
  const Node* node = unit->find(labels.part(0, below));
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

// Layer native. What a name of a view is. The rules are those of src/dns/plugins/kubernetes (service-names.ts, pod-names.ts,
// reverse-names.ts); what is at a service's names was compiled from there.
#pragma once

#include "dns_labels.hpp"
#include "dns_names.hpp"

namespace nodeplane::dns {

enum class Found {
  kLeft,     // to the chain
  kMissing,  // NXDOMAIN
  kEmpty,    // there, without data of any type
  kApex,
  kVersion,
  kNode,     // `unit`, `node`
  kAlias,    // `unit`
  kPod,      // `address`
  kPointer,  // `address` and how many octets of it
};

struct Finding {
  Found kind = Found::kMissing;
  const Unit* unit = nullptr;
  const Node* node = nullptr;
  std::array<std::uint8_t, 16> address{};
  std::size_t address_bytes = 0;
};

/// @param left labels left of the zone
Finding find_name(const Names& names, const View& view, const Labels& labels, std::size_t left, bool is_reverse);

}  // namespace nodeplane::dns

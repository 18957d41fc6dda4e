// Layer native. The answer to a question from the names of a view: what exists, what does not, and the octets of the reply.
// Where it depends on more than units (the server's own names, aliases out of the cluster, pods that are looked up, inner
// nodes of the reverse tree), or does not fit the client, the question is left to the chain.
#pragma once

#include "dns_entry.hpp"
#include "dns_labels.hpp"
#include "dns_names.hpp"

namespace nodeplane::dns {

struct Answered {
  /// 0: left to the chain.
  std::size_t bytes = 0;
  std::uint16_t counter = 0;
};

/// Of the zone above (DS), of no data at all (0, OPT), or about more than one type (ANY, transfers).
bool is_for_chain(std::uint16_t type);
/// The longest zone of the listener that has the name; null when there is none.
const Route* route_of(const Config& config, std::uint8_t listener, const Labels& labels);

/// Writes the reply into `out` (at least kMaxUdp octets). Readers only: between Epochs::enter() and leave().
Answered answer_from_names(const Names& names, const Query& query, std::uint8_t listener, std::uint32_t serial,
                           std::uint64_t& random, std::uint8_t* out);

}  // namespace nodeplane::dns

// Layer native. Replies of upstreams: whether one belongs to a question of ours, and whether the engine can give it to the
// client as it is but for identifier, spelling, OPT and the order of addresses. What it cannot (cut replies, records whose
// data is not known here, anything malformed) is "odd": the chain gets it. No allocation, no read behind the span.
#pragma once

#include <array>
#include <span>

#include "dns_query.hpp"

namespace nodeplane::dns {

/// A question as it went upstream.
struct Sent {
  std::uint16_t id = 0;
  /// In wire form with the root, in the letters that were sent.
  std::span<const std::uint8_t> name;
  std::uint16_t type = 0;
};

enum class Match : std::uint8_t { kForeign, kOtherSpelling, kOurs };

/// A reply with our identifier to our question; `kOtherSpelling`: the same question in other letters.
Match match_reply(std::span<const std::uint8_t> packet, const Sent& sent);

struct UpstreamReply {
  std::uint8_t rcode = 0;
  /// Octets without the OPT record, which is the last one.
  std::size_t bytes = 0;
  std::uint16_t additionals = 0;
  /// Addresses that end the answer section, all of one size; count 0: nothing to shuffle.
  std::size_t rotate_at = 0;
  std::size_t rotate_count = 0;
  std::size_t rotate_stride = 0;
  /// Records that only the chain can put in random order.
  bool shuffles_oddly = false;
};

/// Reads a reply that is ours, and writes TTLs of 2^31 seconds and more as 0. @returns false for an odd one
bool read_reply(std::span<std::uint8_t> packet, const Sent& sent, UpstreamReply& out);

/// Names of the reply that end in labels of the question, in the letters that were sent, get the client's. `name` has as
/// many octets as the question's. The reply was accepted by read_reply().
void respell(std::span<std::uint8_t> packet, const UpstreamReply& reply, std::span<const std::uint8_t> sent,
             std::span<const std::uint8_t> name);

/// Makes the reply that of the client's query, in place. `room`: octets that the packet may take.
/// @returns its size, 0 when it does not fit
std::size_t adapt_reply(std::uint8_t* packet, std::size_t room, const UpstreamReply& reply, const Query& query);

}  // namespace nodeplane::dns

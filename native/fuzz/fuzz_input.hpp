// Fuzz targets: an input cut into parts, copies on the heap, and what every reply must be.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "../src/dns_query.hpp"

namespace nodeplane::dns {

inline void check(bool is_good) {
  if (!is_good) std::abort();
}

/// The next part: two octets of length (little-endian), then as many octets, or those that are left.
inline std::span<const std::uint8_t> cut(std::span<const std::uint8_t>& rest) {
  if (rest.size() < 2) return std::exchange(rest, {});
  const std::size_t length = std::min<std::size_t>(rest[0] | (static_cast<std::size_t>(rest[1]) << 8), rest.size() - 2);
  const auto part = rest.subspan(2, length);
  rest = rest.subspan(2 + length);
  return part;
}

/// A copy on the heap and no longer than it is, so that reads behind the end are seen.
struct Heap {
  explicit Heap(std::span<const std::uint8_t> from) : bytes(new std::uint8_t[from.size()]), size(from.size()) {
    if (size > 0) std::memcpy(bytes.get(), from.data(), size);
  }
  [[nodiscard]] std::span<const std::uint8_t> span() const { return {bytes.get(), size}; }
  std::unique_ptr<std::uint8_t[]> bytes;
  std::size_t size;
};

/// Offset behind a name that may be compressed; aborts for one that is cut short, too long, or points forward.
inline std::size_t skip_name(std::span<const std::uint8_t> message, std::size_t at) {
  std::size_t end = 0;
  std::size_t length = 1;
  std::size_t lowest = at;
  for (;;) {
    check(at < message.size());
    const std::size_t label = message[at];
    if (label == 0) return end == 0 ? at + 1 : end;
    if (label >= 0xc0) {
      check(at + 1 < message.size());
      if (end == 0) end = at + 2;
      const std::size_t target = ((label & 0x3f) << 8) | message[at + 1];
      check(target >= kHeaderBytes && target < lowest);
      lowest = target;
      at = target;
      continue;
    }
    check(label <= 63);
    length += label + 1;
    check(length <= kMaxName);
    at += label + 1;
  }
}

/// A whole, well-formed reply to the query that fits the client.
inline void check_reply(std::span<const std::uint8_t> reply, const Query& query) {
  check(reply.size() >= kHeaderBytes + query.name_bytes + 4 && reply.size() <= query.limit && reply.size() <= kMaxUdp);
  check(read_u16(&reply[0]) == query.id && (reply[2] & 0x80) != 0 && read_u16(&reply[4]) == 1);
  check(std::memcmp(&reply[kHeaderBytes], query.name, query.name_bytes) == 0);
  std::size_t at = kHeaderBytes + query.name_bytes + 4;
  const std::size_t records = read_u16(&reply[6]) + read_u16(&reply[8]) + std::size_t{read_u16(&reply[10])};
  for (std::size_t i = 0; i < records; i++) {
    at = skip_name(reply, at);
    check(at + 10 <= reply.size());
    const std::size_t type = read_u16(&reply[at]);
    const std::size_t end = at + 10 + read_u16(&reply[at + 8]);
    check(end <= reply.size());
    if (type == 33) check(skip_name(reply, at + 16) == end);
    if (type == 5 || type == 12) check(skip_name(reply, at + 10) == end);
    if (type == 6) check(skip_name(reply, skip_name(reply, at + 10)) + 20 == end);
    if (type == 1) check(end == at + 14);
    if (type == 28) check(end == at + 26);
    at = end;
  }
  check(at == reply.size());
}

}  // namespace nodeplane::dns

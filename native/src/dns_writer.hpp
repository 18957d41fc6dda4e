// Layer native. Writes the octets of a reply into a buffer, bounds-checked.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dns_query.hpp"

namespace nodeplane::dns {

/// Writes up to a limit; behind it nothing is written and `is_full` stays true.
struct Writer {
  std::uint8_t* out;
  std::size_t limit;
  std::size_t at = 0;
  bool is_full = false;

  void octets(std::span<const std::uint8_t> from) {
    if (is_full || limit - at < from.size()) {
      is_full = true;
      return;
    }
    if (!from.empty()) std::memcpy(out + at, from.data(), from.size());
    at += from.size();
  }
  void u16(std::size_t value) {
    std::uint8_t two[2];
    write_u16(two, value);
    octets(two);
  }
  void u32(std::uint32_t value) {
    std::uint8_t four[4];
    write_u32(four, value);
    octets(four);
  }
  void pointer(std::size_t offset) { u16(0xc000U | offset); }
  /// Owner (a pointer) to the length of the data, which end_data() fills in.
  std::size_t record(std::size_t owner, std::uint16_t type, std::uint32_t ttl) {
    pointer(owner);
    u16(type);
    u16(1);
    u32(ttl);
    u16(0);
    return at;
  }
  void end_data(std::size_t start) {
    if (!is_full) write_u16(out + start - 2, at - start);
  }
};

}  // namespace nodeplane::dns

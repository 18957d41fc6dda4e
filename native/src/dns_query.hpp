// Layer native. Reads a DNS query as far as the engine needs it: one question of class IN, at most one OPT of version 0.
// Everything else (other opcodes, counts, pointers in names, trailing octets, reserved bits) is "not for the engine".
// RFC 1035 section 4, RFC 6891 section 6.1. No allocation, no read behind the span.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace nodeplane::dns {

inline constexpr std::size_t kHeaderBytes = 12;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::size_t kMinUdp = 512;
inline constexpr std::size_t kMaxUdp = 4096;
inline constexpr std::size_t kOptBytes = 11;

/// What of a query, besides name and type, an answer may depend on.
enum KeyFlag : std::uint8_t { kRecursion = 1, kChecking = 2, kAuthentic = 4, kDnssec = 8, kExact = 16 };

struct Query {
  /// Name as asked, inside the packet, and in lower case; `name_bytes` with the root's octet.
  const std::uint8_t* name = nullptr;
  std::array<std::uint8_t, kMaxName + 1> lower;
  std::size_t name_bytes = 0;
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::uint16_t type = 0;
  std::uint8_t key_flags = 0;
  bool has_edns = false;
  bool dnssec_ok = false;
  /// Octets that the client takes: 512 without EDNS, else 512 to 4096.
  std::size_t limit = kMinUdp;
};

inline std::uint16_t read_u16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>((static_cast<unsigned>(at[0]) << 8) | at[1]);
}
inline void write_u16(std::uint8_t* at, std::size_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}
inline std::uint32_t read_u32(const std::uint8_t* at) {
  return (static_cast<std::uint32_t>(read_u16(at)) << 16) | read_u16(at + 2);
}
inline void write_u32(std::uint8_t* at, std::uint32_t value) {
  write_u16(at, value >> 16);
  write_u16(at + 2, value & 0xffff);
}
inline std::uint8_t lower_octet(std::uint8_t octet) {
  return octet >= 'A' && octet <= 'Z' ? static_cast<std::uint8_t>(octet + 32) : octet;
}

/// Length of the uncompressed name at the start of `bytes` with the root's octet; 0 when there is none.
std::size_t name_length(std::span<const std::uint8_t> bytes);

/// @returns false when the packet is not for the engine; `out` is undefined then. `out` points into `packet`.
bool parse_query(std::span<const std::uint8_t> packet, Query& out);

}  // namespace nodeplane::dns

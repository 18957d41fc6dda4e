// Test tool. The two SCTP messages that a probe needs (RFC 9260: INIT and INIT ACK with a state cookie), made by hand
// because not every kernel has SCTP sockets.
#pragma once

#include <arpa/inet.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace netprobe {

inline std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1U) != 0 ? (crc >> 1) ^ 0x82f63b78U : crc >> 1;
  }
  return ~crc;
}

inline void put16(std::vector<std::uint8_t>& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
inline void put32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
inline std::uint32_t get16(std::span<const std::uint8_t> in, std::size_t at) {
  return (static_cast<std::uint32_t>(in[at]) << 8) | in[at + 1];
}
inline std::uint32_t get32(std::span<const std::uint8_t> in, std::size_t at) {
  return (get16(in, at) << 16) | get16(in, at + 2);
}

constexpr std::uint8_t kInit = 1;
constexpr std::uint8_t kInitAck = 2;

struct SctpInit {
  std::uint8_t chunk = 0;
  std::uint32_t source_port = 0;
  std::uint32_t destination_port = 0;
  std::uint32_t verification_tag = 0;
  std::uint32_t initiate_tag = 0;
  std::string cookie;
};

/// A whole packet: common header and one INIT or INIT ACK chunk.
inline std::vector<std::uint8_t> sctp_packet(const SctpInit& init) {
  std::vector<std::uint8_t> out;
  put16(out, init.source_port);
  put16(out, init.destination_port);
  put32(out, init.verification_tag);
  put32(out, 0);
  const std::size_t cookie = init.cookie.empty() ? 0 : 4 + init.cookie.size();
  out.push_back(init.chunk);
  out.push_back(0);
  put16(out, static_cast<std::uint32_t>(20 + cookie));
  put32(out, init.initiate_tag);
  put32(out, 65536);
  put16(out, 1);
  put16(out, 1);
  put32(out, 1);
  if (cookie > 0) {
    put16(out, 7);
    put16(out, static_cast<std::uint32_t>(cookie));
    out.insert(out.end(), init.cookie.begin(), init.cookie.end());
    while (out.size() % 4 != 0) out.push_back(0);
  }
  const std::uint32_t checksum = crc32c(out);
  std::memcpy(out.data() + 8, &checksum, 4);
  return out;
}

/// Reads a packet's first chunk if it is INIT or INIT ACK and the checksum is right.
inline bool read_sctp(std::span<const std::uint8_t> in, SctpInit& out) {
  if (in.size() < 32) return false;
  std::vector<std::uint8_t> copy(in.begin(), in.end());
  std::uint32_t checksum = 0;
  std::memcpy(&checksum, copy.data() + 8, 4);
  std::memset(copy.data() + 8, 0, 4);
  if (crc32c(copy) != checksum) return false;
  out.chunk = in[12];
  if (out.chunk != kInit && out.chunk != kInitAck) return false;
  out.source_port = get16(in, 0);
  out.destination_port = get16(in, 2);
  out.verification_tag = get32(in, 4);
  out.initiate_tag = get32(in, 16);
  out.cookie.clear();
  if (in.size() >= 36 && get16(in, 32) == 7) {
    const std::size_t length = get16(in, 34);
    if (length >= 4 && 32 + length <= in.size()) {
      out.cookie.assign(reinterpret_cast<const char*>(in.data()) + 36, length - 4);
    }
  }
  return true;
}

}  // namespace netprobe

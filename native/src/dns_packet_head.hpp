// Layer native. What stands before a packet between the engine and JavaScript, both ways.
#pragma once

#include <array>
#include <cstdint>

namespace nodeplane::dns {

/// The packet follows, then `extra` octets: a ForwardHead with a reply, where an upstream was asked for the query.
struct PacketHead {
  std::uint16_t bytes;
  std::uint8_t listener;
  std::uint8_t family;   // 4 or 6; 0: no packet, but news of upstreams
  std::uint16_t port;    // of the client, host order
  std::uint16_t extra;
  std::uint32_t scope;      // of a link-local client
  std::uint32_t interface;  // of a link-local address asked
  std::array<std::uint8_t, 16> client;
  std::array<std::uint8_t, 16> local;
};
static_assert(sizeof(PacketHead) == 48);

/// What became of a query at an upstream.
struct ForwardHead {
  std::uint32_t token;     // of the group
  std::uint32_t us;        // until then
  std::uint16_t upstream;  // of the group
  std::uint16_t error;     // errno; 0 with a reply, ETIMEDOUT when none came
};
static_assert(sizeof(ForwardHead) == 12);

}  // namespace nodeplane::dns

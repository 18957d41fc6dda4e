// Layer native. Buffers for replies of upstreams, read many at a time.
#pragma once

#include <sys/socket.h>

#include <array>

#include "dns_forwarder.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kReplyBatch = 32;
/// Not a multiple of 4096, as the worker's own buffers.
inline constexpr std::size_t kReplyRoom = kMaxUdp + 5 * 64;

struct Forwarder::Batch {
  std::array<mmsghdr, kReplyBatch> messages{};
  std::array<iovec, kReplyBatch> data{};
  std::array<std::array<std::uint8_t, kReplyRoom>, kReplyBatch> packets;
};

}  // namespace nodeplane::dns

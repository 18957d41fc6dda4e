// Layer native. Replies on their way out, each from the address that was asked.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include "dns_packet_head.hpp"

namespace nodeplane::dns {

/// Sends replies as their heads say, many in one call. A socket that takes no more loses them, as on the way.
class Sender {
 public:
  /// `packet` must last until flush().
  void add(int fd, const PacketHead& head, const std::uint8_t* packet);
  void flush();
  [[nodiscard]] std::size_t failed() const { return failed_; }

 private:
  static constexpr std::size_t kMost = 64;
  struct Item {
    sockaddr_storage to;
    iovec data;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control;
  };
  std::array<mmsghdr, kMost> messages_;
  std::array<Item, kMost> items_;
  std::size_t count_ = 0;
  std::size_t failed_ = 0;
  int fd_ = -1;
};

}  // namespace nodeplane::dns

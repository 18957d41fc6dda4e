// Layer native. Sockets of the DNS engine: opening, and sending from the address that was asked (IP_PKTINFO).
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <new>

#include "dns_worker.hpp"

namespace nodeplane::dns {
namespace {

constexpr int kReceiveBytes = 4 << 20;

bool parse_host(int family, const std::string& host, std::uint16_t port, sockaddr_storage& out, socklen_t& size) {
  std::memset(&out, 0, sizeof out);
  if (family == AF_INET) {
    auto* address = reinterpret_cast<sockaddr_in*>(&out);
    address->sin_family = AF_INET;
    address->sin_port = htons(port);
    size = sizeof *address;
    return host.empty() || inet_pton(AF_INET, host.c_str(), &address->sin_addr) == 1;
  }
  auto* address = reinterpret_cast<sockaddr_in6*>(&out);
  address->sin6_family = AF_INET6;
  address->sin6_port = htons(port);
  size = sizeof *address;
  if (host.empty()) return true;
  const std::size_t percent = host.find('%');
  if (percent != std::string::npos) address->sin6_scope_id = if_nametoindex(host.c_str() + percent + 1);
  return inet_pton(AF_INET6, host.substr(0, percent).c_str(), &address->sin6_addr) == 1;
}

/// One address of one interface: replies need no word of where they leave from. Link-local ones do, for the interface.
bool is_own(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return reinterpret_cast<const sockaddr_in*>(&address)->sin_addr.s_addr != INADDR_ANY;
  const auto& host = reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr;
  return !IN6_IS_ADDR_UNSPECIFIED(&host) && !IN6_IS_ADDR_LINKLOCAL(&host);
}

}  // namespace

Socket open_socket(int family, const std::string& host, std::uint16_t port, const char*& syscall) {
  sockaddr_storage address{};
  socklen_t size = 0;
  syscall = "bind";
  if (!parse_host(family, host, port, address, size)) {
    errno = EADDRNOTAVAIL;
    return {};
  }
  syscall = "socket";
  Socket made;
  made.family = family;
  made.has_own_address = is_own(address);
  if (family == AF_INET) {
    std::memcpy(made.address.data(), &reinterpret_cast<const sockaddr_in*>(&address)->sin_addr, 4);
  } else {
    std::memcpy(made.address.data(), &reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr, 16);
  }
  UniqueFd& fd = made.fd;
  fd = UniqueFd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return made;
  const int on = 1;
  const auto set = [&](int level, int name, int value) {
    return ::setsockopt(fd.get(), level, name, &value, sizeof value) == 0;
  };
  syscall = "setsockopt";
  bool good = set(SOL_SOCKET, SO_REUSEPORT, on);
  if (family == AF_INET6) good = good && set(IPPROTO_IPV6, IPV6_V6ONLY, on);
  if (!made.has_own_address) {
    good = good && (family == AF_INET ? set(IPPROTO_IP, IP_PKTINFO, on) : set(IPPROTO_IPV6, IPV6_RECVPKTINFO, on));
  }
  if (good && !set(SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBytes)) (void)set(SOL_SOCKET, SO_RCVBUF, kReceiveBytes);
  if (good) {
    syscall = "bind";
    good = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0;
  }
  if (good) return made;
  const int error = errno;
  fd.reset();
  errno = error;
  return made;
}

void Sender::add(int fd, const PacketHead& head, const std::uint8_t* packet) {
  if (fd != fd_ || count_ == kMost) flush();
  fd_ = fd;
  Item& of = items_[count_];
  of.data = {const_cast<std::uint8_t*>(packet), head.bytes};
  msghdr& message = messages_[count_].msg_hdr;
  message = {};
  message.msg_name = &of.to;
  message.msg_iov = &of.data;
  message.msg_iovlen = 1;
  message.msg_control = of.control.data();
  auto* item = reinterpret_cast<cmsghdr*>(of.control.data());
  if (head.family == 4) {
    auto* address = new (&of.to) sockaddr_in{};
    address->sin_family = AF_INET;
    address->sin_port = htons(head.port);
    std::memcpy(&address->sin_addr, head.client.data(), 4);
    message.msg_namelen = sizeof *address;
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, head.local.data(), 4);
    *item = {CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
    std::memcpy(CMSG_DATA(item), &info, sizeof info);
    message.msg_controllen = CMSG_SPACE(sizeof info);
  } else {
    auto* address = new (&of.to) sockaddr_in6{};
    address->sin6_family = AF_INET6;
    address->sin6_port = htons(head.port);
    address->sin6_scope_id = head.scope;
    std::memcpy(&address->sin6_addr, head.client.data(), 16);
    message.msg_namelen = sizeof *address;
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, head.local.data(), 16);
    info.ipi6_ifindex = head.interface;
    *item = {CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO};
    std::memcpy(CMSG_DATA(item), &info, sizeof info);
    message.msg_controllen = CMSG_SPACE(sizeof info);
  }
  count_++;
}

void Sender::flush() {
  for (std::size_t sent = 0; sent < count_;) {
    const int done = retry([&] {
      return ::sendmmsg(fd_, &messages_[sent], static_cast<unsigned>(count_ - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
    });
    if (done <= 0) failed_++;
    sent += done <= 0 ? 1 : static_cast<std::size_t>(done);
  }
  count_ = 0;
}

}  // namespace nodeplane::dns

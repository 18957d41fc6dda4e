// Test tool. Sockets inside network namespaces: a thread enters the namespace, what it opens stays there.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace netprobe {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] inline void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + strerrorname_np(errno));
}

/// Moves the calling thread into the namespace with this name.
inline void enter(const std::string& name) {
  const std::string path = "/run/netns/" + name;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) fail("open " + path);
  if (::setns(fd.get(), CLONE_NEWNET) != 0) fail("setns " + name);
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
};

inline Address address_of(const std::string& text, std::uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(sockaddr_in);
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(sockaddr_in6);
  } else {
    throw std::runtime_error("not an address: " + text);
  }
  return address;
}

inline std::string ip_text(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(storage).sin_addr, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr, text, sizeof text);
  }
  return text;
}

/// `ip:port`, IPv6 in brackets.
inline std::string endpoint_text(const std::string& ip, unsigned port) {
  return (ip.find(':') == std::string::npos ? ip : "[" + ip + "]") + ":" + std::to_string(port);
}

inline unsigned port_of(const sockaddr_storage& storage) {
  return storage.ss_family == AF_INET ? ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port)
                                      : ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
}

inline void option(int fd, int level, int name, int value) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0) fail("setsockopt");
}

/// Room for a burst: the kernel drops what finds a full buffer, and calls a raw socket that is full no socket at all.
inline void widen_buffer(int fd) {
  option(fd, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20);
}

/// Lets a socket use an address that the namespace does not have.
inline void free_bind(int fd, int family) {
  if (family == AF_INET) option(fd, IPPROTO_IP, IP_FREEBIND, 1);
  else option(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
}

/// `sctp` is two messages over raw sockets, `sctp_stream` the kernel's own SCTP sockets, used like those of TCP.
enum class Proto { tcp, udp, sctp, sctp_stream, icmp };

inline bool is_stream(Proto proto) {
  return proto == Proto::tcp || proto == Proto::sctp_stream;
}

inline Proto proto_of(const std::string& text) {
  if (text == "TCP") return Proto::tcp;
  if (text == "UDP") return Proto::udp;
  const char* sctp = std::getenv("NODEPLANE_TEST_SCTP");
  if (text == "SCTP") return sctp != nullptr && std::string(sctp) == "sockets" ? Proto::sctp_stream : Proto::sctp;
  if (text == "ICMP") return Proto::icmp;
  throw std::runtime_error("unknown protocol " + text);
}

}  // namespace netprobe

// Test tool. Listeners in many namespaces, served by one thread. Each answers "LABEL OWN_IP:PORT PEER_IP".
#pragma once

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "sctp.hpp"
#include "socket_util.hpp"

namespace netprobe {

struct Listener {
  Fd fd;
  Proto proto = Proto::tcp;
  std::string label;
  std::string ip;
  unsigned port = 0;
};

class Listeners {
 public:
  Listeners() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    std::thread([this] { serve(); }).detach();
  }

  /// Opens a listener in the namespace that the calling thread is in.
  void open(const std::string& id, Proto proto, const std::string& ip, unsigned port, const std::string& label) {
    auto listener = std::make_shared<Listener>();
    const Address address = address_of(ip, proto == Proto::sctp ? 0 : static_cast<std::uint16_t>(port));
    const int type = is_stream(proto) ? SOCK_STREAM : proto == Proto::udp ? SOCK_DGRAM : SOCK_RAW;
    const int protocol = proto == Proto::sctp || proto == Proto::sctp_stream ? 132 : 0;
    listener->fd = Fd(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    const int fd = listener->fd.get();
    if (fd < 0) fail("socket");
    free_bind(fd, address.family());
    option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!is_stream(proto)) widen_buffer(fd);
    if (address.family() == AF_INET6 && proto != Proto::sctp) option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (::bind(fd, address.get(), address.size) != 0) fail("bind " + endpoint_text(ip, port));
    if (is_stream(proto) && ::listen(fd, 1024) != 0) fail("listen");
    listener->proto = proto;
    listener->label = label;
    listener->ip = ip;
    listener->port = port;
    const std::lock_guard lock(mutex_);
    listeners_[fd] = listener;
    ids_[id] = fd;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }

  void close(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto found = ids_.find(id);
    if (found == ids_.end()) throw std::runtime_error("no such listener");
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second, nullptr);
    listeners_.erase(found->second);
    ids_.erase(found);
  }

 private:
  void serve() {
    epoll_event events[64];
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events, 64, -1);
      for (int i = 0; i < count; i++) {
        std::shared_ptr<Listener> listener;
        {
          const std::lock_guard lock(mutex_);
          const auto found = listeners_.find(events[i].data.fd);
          if (found != listeners_.end()) listener = found->second;
        }
        if (listener) answer(*listener);
      }
    }
  }

  static std::string text(const Listener& listener, const std::string& peer) {
    return listener.label + " " + endpoint_text(listener.ip, listener.port) + " " + peer;
  }

  static void answer(const Listener& listener) {
    if (is_stream(listener.proto)) accept_all(listener);
    else if (listener.proto == Proto::udp) reply_udp(listener);
    else reply_sctp(listener);
  }

  static void accept_all(const Listener& listener) {
    for (;;) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      const Fd client(::accept4(listener.fd.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
      if (client.get() < 0) return;
      const std::string line = text(listener, ip_text(peer));
      (void)!::send(client.get(), line.data(), line.size(), MSG_NOSIGNAL);
      ::shutdown(client.get(), SHUT_WR);
    }
  }

  static void reply_udp(const Listener& listener) {
    for (;;) {
      char buffer[256];
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      const auto got =
          ::recvfrom(listener.fd.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&peer), &size);
      if (got < 0) return;
      const std::string line = text(listener, ip_text(peer));
      ::sendto(listener.fd.get(), line.data(), line.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  }

  static void reply_sctp(const Listener& listener) {
    for (;;) {
      std::uint8_t buffer[2048];
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      const auto got =
          ::recvfrom(listener.fd.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&peer), &size);
      if (got < 0) return;
      const std::size_t header = peer.ss_family == AF_INET ? static_cast<std::size_t>(buffer[0] & 15) * 4 : 0;
      SctpInit init;
      if (static_cast<std::size_t>(got) < header) continue;
      if (!read_sctp({buffer + header, static_cast<std::size_t>(got) - header}, init)) continue;
      if (init.chunk != kInit || init.destination_port != listener.port) continue;
      const auto packet = sctp_packet({kInitAck, listener.port, init.source_port, init.initiate_tag, 0x6e6f6465,
                                       text(listener, ip_text(peer))});
      if (peer.ss_family == AF_INET6) reinterpret_cast<sockaddr_in6&>(peer).sin6_port = 0;
      ::sendto(listener.fd.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  }

  Fd epoll_;
  std::mutex mutex_;
  std::map<int, std::shared_ptr<Listener>> listeners_;
  std::map<std::string, int> ids_;
};

}  // namespace netprobe

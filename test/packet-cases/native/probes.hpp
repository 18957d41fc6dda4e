// Test tool. Clients: many new connections from one address to one address and port, and what became of each.
#pragma once

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>

#include <chrono>
#include <map>
#include <random>

#include "sctp.hpp"
#include "socket_util.hpp"

namespace netprobe {

struct Probe {
  Proto proto = Proto::tcp;
  std::string source;
  std::string destination;
  unsigned port = 0;
  int count = 1;
  int timeout_ms = 1000;
};

/// Outcomes with their number: "answer …", "echo", "refused", "timeout", "connected" (TCP, but nothing was said), or the
/// name of an error.
using Outcomes = std::map<std::string, int>;

inline std::string error_outcome(int error) {
  return error == ECONNREFUSED ? "refused" : strerrorname_np(error);
}

/// One connection under way.
struct Attempt {
  Fd fd;
  bool connected = false;
  bool done = false;
  std::uint32_t tag = 0;
  std::uint32_t source_port = 0;
  /// What is said again until there is an answer: any datagram can get lost. TCP repeats itself.
  std::vector<std::uint8_t> message;
  std::string received;
};

class Prober {
 public:
  explicit Prober(const Probe& probe)
      : probe_(probe),
        destination_(address_of(probe.destination, port_number())),
        random_(std::random_device{}()),
        first_port_(32768 + static_cast<std::uint32_t>(random_() % 8000)) {}

  Outcomes run() {
    constexpr int kWave = 64;
    for (int left = probe_.count; left > 0; left -= kWave) wave(std::min(left, kWave));
    return outcomes_;
  }

 private:
  [[nodiscard]] std::uint16_t port_number() const {
    return is_stream(probe_.proto) || probe_.proto == Proto::udp ? static_cast<std::uint16_t>(probe_.port) : 0;
  }

  void finish(Attempt& attempt, const std::string& outcome) {
    attempt.done = true;
    outcomes_[outcome]++;
  }

  void wave(int count) {
    std::vector<Attempt> attempts(static_cast<std::size_t>(count));
    for (Attempt& attempt : attempts) start(attempt);
    using std::chrono::milliseconds;
    constexpr milliseconds kRepeat(500);
    const auto deadline = std::chrono::steady_clock::now() + milliseconds(probe_.timeout_ms);
    auto repetition = std::chrono::steady_clock::now() + kRepeat;
    for (;;) {
      std::vector<pollfd> waiting;
      std::vector<Attempt*> owners;
      for (Attempt& attempt : attempts) {
        if (attempt.done) continue;
        const bool writing = is_stream(probe_.proto) && !attempt.connected;
        waiting.push_back({attempt.fd.get(), static_cast<short>(writing ? POLLOUT : POLLIN), 0});
        owners.push_back(&attempt);
      }
      const auto now = std::chrono::steady_clock::now();
      if (waiting.empty()) return;
      if (now >= deadline) break;
      if (now >= repetition) {
        for (Attempt* attempt : owners) say(*attempt);
        repetition = now + kRepeat;
      }
      const auto left = std::chrono::duration_cast<milliseconds>(std::min(deadline, repetition) - now);
      if (::poll(waiting.data(), waiting.size(), static_cast<int>(left.count()) + 1) < 0 && errno != EINTR) fail("poll");
      for (std::size_t i = 0; i < waiting.size(); i++) {
        if (waiting[i].revents != 0) step(*owners[i]);
      }
    }
    for (Attempt& attempt : attempts) {
      if (!attempt.done) finish(attempt, is_stream(probe_.proto) && attempt.connected ? "connected" : "timeout");
    }
  }

  void start(Attempt& attempt) {
    const int family = destination_.family();
    const bool raw = probe_.proto == Proto::sctp || probe_.proto == Proto::icmp;
    const int type = is_stream(probe_.proto) ? SOCK_STREAM : probe_.proto == Proto::udp ? SOCK_DGRAM : SOCK_RAW;
    const int icmp = family == AF_INET ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6);
    const bool sctp = probe_.proto == Proto::sctp || probe_.proto == Proto::sctp_stream;
    const int protocol = sctp ? 132 : probe_.proto == Proto::icmp ? icmp : 0;
    attempt.fd = Fd(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    const int fd = attempt.fd.get();
    if (fd < 0) fail("socket");
    if (raw) widen_buffer(fd);
    if (raw) option(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_RECVERR : IPV6_RECVERR, 1);
    if (probe_.source != "-") {
      free_bind(fd, family);
      if (!raw) option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const Address source = address_of(probe_.source, 0);
      if (::bind(fd, source.get(), source.size) != 0) fail("bind " + probe_.source);
    }
    if (::connect(fd, destination_.get(), destination_.size) != 0 && errno != EINPROGRESS) {
      finish(attempt, error_outcome(errno));
      return;
    }
    if (probe_.proto == Proto::udp) attempt.message = {'h', 'e', 'l', 'l', 'o'};
    if (probe_.proto == Proto::icmp) attempt.message = echo(attempt);
    if (probe_.proto == Proto::sctp) {
      attempt.tag = static_cast<std::uint32_t>(random_()) | 1U;
      // Every raw socket sees the answers to all of them: no two may have one port.
      attempt.source_port = first_port_ + started_++ % 20000;
      attempt.message = sctp_packet({kInit, attempt.source_port, probe_.port, 0, attempt.tag, ""});
    }
    say(attempt);
  }

  /// Says it once more. EPERM is a rule's doing on the way out: whether it refused or dropped is what comes back.
  void say(Attempt& attempt) {
    if (attempt.message.empty()) return;
    if (::send(attempt.fd.get(), attempt.message.data(), attempt.message.size(), MSG_NOSIGNAL) >= 0) return;
    if (errno != EPERM) finish(attempt, error_outcome(errno));
  }

  std::vector<std::uint8_t> echo(Attempt& attempt) {
    attempt.tag = static_cast<std::uint32_t>(random_()) & 0xffff;
    std::vector<std::uint8_t> packet(16);
    packet[0] = destination_.family() == AF_INET ? static_cast<std::uint8_t>(ICMP_ECHO) : static_cast<std::uint8_t>(ICMP6_ECHO_REQUEST);
    packet[4] = static_cast<std::uint8_t>(attempt.tag >> 8);
    packet[5] = static_cast<std::uint8_t>(attempt.tag);
    if (destination_.family() == AF_INET) {
      std::uint32_t sum = 0;
      for (std::size_t at = 0; at < packet.size(); at += 2) sum += get16(packet, at);
      while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
      packet[2] = static_cast<std::uint8_t>(~sum >> 8);
      packet[3] = static_cast<std::uint8_t>(~sum);
    }
    return packet;
  }

  void step(Attempt& attempt) {
    const int fd = attempt.fd.get();
    if (is_stream(probe_.proto) && !attempt.connected) {
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) finish(attempt, error_outcome(error));
      else attempt.connected = true;
      return;
    }
    std::uint8_t buffer[2048];
    const auto got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) {
      if (errno != EAGAIN) finish(attempt, error_outcome(errno));
      return;
    }
    const std::span<const std::uint8_t> bytes(buffer, static_cast<std::size_t>(got));
    switch (probe_.proto) {
      case Proto::tcp:
      case Proto::sctp_stream:
        if (got == 0) finish(attempt, attempt.received.empty() ? "closed" : "answer " + attempt.received);
        attempt.received.append(bytes.begin(), bytes.end());
        return;
      case Proto::udp:
        finish(attempt, "answer " + std::string(bytes.begin(), bytes.end()));
        return;
      case Proto::sctp:
        read_init_ack(attempt, bytes);
        return;
      case Proto::icmp:
        read_echo(attempt, bytes);
        return;
    }
  }

  [[nodiscard]] std::span<const std::uint8_t> payload(std::span<const std::uint8_t> bytes) const {
    if (destination_.family() != AF_INET) return bytes;
    const std::size_t header = bytes.empty() ? 0 : static_cast<std::size_t>(bytes[0] & 15) * 4;
    return header <= bytes.size() ? bytes.subspan(header) : bytes.subspan(bytes.size());
  }

  void read_init_ack(Attempt& attempt, std::span<const std::uint8_t> bytes) {
    SctpInit init;
    if (!read_sctp(payload(bytes), init) || init.chunk != kInitAck) return;
    if (init.verification_tag != attempt.tag || init.destination_port != attempt.source_port) return;
    finish(attempt, "answer " + init.cookie);
  }

  void read_echo(Attempt& attempt, std::span<const std::uint8_t> bytes) {
    const auto icmp = payload(bytes);
    const auto reply =
        destination_.family() == AF_INET ? static_cast<std::uint8_t>(ICMP_ECHOREPLY) : static_cast<std::uint8_t>(ICMP6_ECHO_REPLY);
    if (icmp.size() >= 8 && icmp[0] == reply && get16(icmp, 4) == attempt.tag) finish(attempt, "echo");
  }

  Probe probe_;
  Address destination_;
  std::mt19937 random_;
  std::uint32_t first_port_;
  std::uint32_t started_ = 0;
  Outcomes outcomes_;
};

}  // namespace netprobe

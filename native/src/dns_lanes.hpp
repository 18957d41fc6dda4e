// Layer native. Sockets of one thread to the upstreams of one plan: a few for each, connected, shared by many queries, and
// replaced after some time or queries, so that the source port stays hard to guess (RFC 5452).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "dns_flights.hpp"
#include "dns_random.hpp"
#include "napi_util.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kLanes = 4;
/// Header, name, type and class, OPT.
inline constexpr std::size_t kMaxOutgoing = kHeaderBytes + kMaxName + 1 + 4 + kOptBytes;

struct Outgoing {
  std::uint16_t bytes = 0;
  std::array<std::uint8_t, kMaxOutgoing> packet;
};

struct UpstreamSocket {
  UniqueFd fd;
  Lanes* lanes = nullptr;
  std::size_t upstream = 0;
  std::uint64_t retire_at_ns = 0;
  std::uint32_t queries = 0;
  /// No new queries; closed once the last has its reply.
  bool is_retired = false;
  bool is_dirty = false;
  List<Flight, &Flight::by_socket> flights;
  std::size_t in_flight = 0;
  /// To be sent. Empty but within one turn of the thread.
  std::vector<Outgoing> queue;
};

class Lanes {
 public:
  Lanes(std::shared_ptr<ForwardPlan> plan, int epoll, Random& random);
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  [[nodiscard]] const ForwardPlan& plan() const { return *plan_; }
  [[nodiscard]] Upstream& upstream(std::size_t index) const { return *plan_->upstreams[index]; }
  /// One of the upstream's sockets by chance, a new one in the place of a spent one. Null with errno when there is none.
  UpstreamSocket* pick(std::size_t upstream, const Group& group, std::uint64_t now_ns, bool& was_there);
  /// Takes no more queries. Its descriptor is closed at once, the rest by sweep().
  void close(UpstreamSocket& socket);
  /// Closes what is retired and has no more queries; frees what is closed. No pointer to a socket may be kept over it.
  void sweep();
  [[nodiscard]] bool is_idle() const { return flights == 0; }

  /// Flights with this plan.
  std::size_t flights = 0;

 private:
  [[nodiscard]] std::unique_ptr<UpstreamSocket> open(std::size_t upstream) const;
  void retire(std::unique_ptr<UpstreamSocket>& socket);

  std::shared_ptr<ForwardPlan> plan_;
  int epoll_;
  Random& random_;
  std::vector<std::array<std::unique_ptr<UpstreamSocket>, kLanes>> lanes_;
  std::vector<std::unique_ptr<UpstreamSocket>> retired_;
};

}  // namespace nodeplane::dns

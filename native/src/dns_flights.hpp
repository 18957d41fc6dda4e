// Layer native. Queries that wait for an upstream: found by socket and identifier, by question, and by the time that they
// have left (a timer wheel). Of one thread; what it holds is bounded, in all and for each client.
#pragma once

#include <memory>
#include <vector>

#include "dns_config.hpp"
#include "dns_list.hpp"
#include "dns_packet_head.hpp"

namespace nodeplane::dns {

struct UpstreamSocket;
class Lanes;

/// Longer queries than this (a name, EDNS, a few options) are left to the chain.
inline constexpr std::size_t kMaxQuery = 320;

/// Who waits for a reply: the packet as it came, and where the reply goes.
struct Waiter {
  PacketHead head;
  int fd = -1;
  std::uint64_t arrived_ns = 0;
  Waiter* next = nullptr;
  std::array<std::uint8_t, kMaxQuery> packet;
};

/// Upstreams of the plan as they are asked, one after the other and then once more.
struct Order {
  std::array<std::uint8_t, kMaxGroupUpstreams> upstreams;
  std::uint8_t count = 0;
};

struct Flight {
  Waiter* waiters = nullptr;
  std::size_t waiter_count = 0;
  Lanes* lanes = nullptr;
  Group* group = nullptr;
  Order order;
  std::uint16_t attempt = 0;
  std::uint64_t until_ns = 0;
  std::uint64_t sent_ns = 0;
  /// Time given to the attempt under way.
  std::uint32_t patience_ms = 0;
  std::uint64_t hash = 0;
  std::uint16_t type = 0;
  std::uint16_t id = 0;
  std::uint8_t name_bytes = 0;
  std::uint8_t key_flags = 0;
  std::uint8_t listener = 0;
  bool has_edns = false;
  bool is_exact = false;
  bool shuffles = false;
  std::array<std::uint16_t, kForwardRcodes.size()> slots{};
  UpstreamSocket* socket = nullptr;
  std::size_t tick = 0;
  Links<Flight> by_id;
  Links<Flight> by_question;
  Links<Flight> by_tick;
  Links<Flight> by_socket;
  /// In lower case, and as it was sent last.
  std::array<std::uint8_t, kMaxName + 1> lower;
  std::array<std::uint8_t, kMaxName + 1> sent;

  [[nodiscard]] std::size_t upstream() const { return order.upstreams[attempt % order.count]; }
};

class Flights {
 public:
  static constexpr std::size_t kMost = 4096;
  static constexpr std::size_t kMostOfClient = 1000;

  explicit Flights(std::uint64_t seed) : seed_(seed), by_id_(kBuckets), by_question_(kBuckets), ticks_(kTicks) {}
  Flights(const Flights&) = delete;
  Flights& operator=(const Flights&) = delete;

  /// A waiter with the query's octets; null when there are too many, in all or of this client.
  Waiter* wait(const PacketHead& head, std::span<const std::uint8_t> packet);
  void forget(Waiter* waiter);
  /// A flight for the question, not under way yet. Only after a wait() that was granted.
  Flight* make(const Query& query, std::uint8_t listener);
  /// The flight and all who wait for it are gone.
  void end(Flight* flight);
  /// Flights of the same question and flags, and one of them.
  [[nodiscard]] std::size_t same(const Query& query, std::uint8_t listener, Flight*& one) const;

  [[nodiscard]] bool is_taken(const UpstreamSocket* socket, std::uint16_t id) const { return find(socket, id) != nullptr; }
  [[nodiscard]] Flight* find(const UpstreamSocket* socket, std::uint16_t id) const;
  /// Under way on a socket with an identifier, for `milliseconds` at most.
  void depart(Flight& flight, UpstreamSocket* socket, std::uint16_t id, std::uint64_t now_ns, std::uint32_t milliseconds);
  /// No longer: a reply, a failure, or time is up.
  void arrive(Flight& flight);

  /// Milliseconds until somebody's time may be up; -1 when nobody waits.
  [[nodiscard]] int patience(std::uint64_t now_ns) const;
  /// A flight whose time is up, which the caller lets arrive. Null when there is none.
  Flight* overdue(std::uint64_t now_ns);
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  static constexpr std::size_t kBuckets = 4096;
  /// Together more than the longest time that a flight has.
  static constexpr std::size_t kTicks = 1024;
  static constexpr std::uint64_t kTickNs = 8'000'000;
  /// So that a thread may be late by 2 seconds and takes nobody's time for over.
  static constexpr std::uint64_t kMostTicks = 750;

  [[nodiscard]] std::size_t id_bucket(const UpstreamSocket* socket, std::uint16_t id) const;
  [[nodiscard]] std::uint64_t question_hash(const Query& query, std::uint8_t listener) const;
  std::uint16_t& of_client(const PacketHead& head);

  std::uint64_t seed_;
  std::vector<std::unique_ptr<Flight>> flights_;
  std::vector<Flight*> free_;
  std::vector<std::unique_ptr<Waiter>> waiters_;
  Waiter* free_waiters_ = nullptr;
  std::size_t waiting_ = 0;
  std::size_t count_ = 0;
  std::vector<List<Flight, &Flight::by_id>> by_id_;
  std::vector<List<Flight, &Flight::by_question>> by_question_;
  std::vector<List<Flight, &Flight::by_tick>> ticks_;
  /// Tick up to which overdue() has looked.
  std::uint64_t seen_tick_ = 0;
  std::size_t under_way_ = 0;
  /// Waiters by a hash of the client's address; two that share a place share its limit.
  std::array<std::uint16_t, 4096> clients_{};
};

}  // namespace nodeplane::dns

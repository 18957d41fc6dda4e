// Layer native. Forwarding of one thread: questions that its groups take go upstream over UDP, are asked again elsewhere when
// nothing comes, and replies go to who waits, or up to the chain with the query where the chain has to look at them. What
// cannot be done here is left to the chain from the start.
#pragma once

#include <atomic>
#include <functional>

#include "dns_answer.hpp"
#include "dns_counters.hpp"
#include "dns_lanes.hpp"
#include "dns_marks.hpp"
#include "dns_sender.hpp"
#include "dns_up_queue.hpp"
#include "dns_upstream_reply.hpp"

namespace nodeplane::dns {

/// What all forwarders share.
struct ForwardShared {
  explicit ForwardShared(std::uint64_t seed) : kept(seed) {}
  /// JavaScript was told that something happened to an upstream, and has not looked yet.
  std::atomic<bool> has_news{false};
  std::atomic<std::int64_t> in_flight{0};
  /// Replies that caches of the chain have.
  Marks kept;
};

/// Where a query came in.
struct Arrival {
  PacketHead head;
  int fd = -1;
  std::uint64_t now_ns = 0;
  std::int64_t now_ms = 0;
};

class Forwarder {
 public:
  Forwarder(ForwardShared& shared, UpQueue& queue, Counters& counters, const std::function<void()>& wake);
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;
  ~Forwarder();

  /// @returns false without a descriptor
  bool start();
  /// Becomes readable when there are replies.
  [[nodiscard]] int fd() const { return epoll_.get(); }
  /// Milliseconds until on_time() has something to do; -1: it has nothing.
  [[nodiscard]] int patience(std::uint64_t now_ns) const { return flights_.patience(now_ns); }

  /// Readers only: between Epochs::enter() and leave(). @returns false when the query is the chain's
  bool take(const Config& config, const Query& query, std::span<const std::uint8_t> packet, const Arrival& arrival);
  void on_replies(std::uint64_t now_ns);
  void on_time(std::uint64_t now_ns);
  /// Sends what waits, and frees what is no longer used. After each of the above.
  void finish(std::uint64_t now_ns);

 private:
  struct Batch;

  bool choose(Group& group, const ForwardPlan& plan, Order& order);
  Lanes& lanes_of(const Config& config);
  void try_next(Flight& flight, std::uint64_t now_ns, int error);
  void send(Flight& flight, UpstreamSocket& socket, std::uint64_t now_ns, std::uint32_t patience_ms);
  void fail(Flight& flight, std::uint64_t now_ns, int error);
  void fail_socket(UpstreamSocket& socket, std::uint64_t now_ns, int error);
  void flush(UpstreamSocket& socket, std::uint64_t now_ns);
  void leave_socket(Flight& flight);
  void end(Flight& flight);
  void receive(UpstreamSocket& socket, std::uint64_t now_ns);
  void on_reply(Flight& flight, std::span<std::uint8_t> packet, std::uint64_t now_ns);
  void answer(Flight& flight, std::span<std::uint8_t> packet, const UpstreamReply& reply, const ForwardHead& up,
              std::uint64_t now_ns);
  /// To the chain; with what an upstream said, or why nothing came, unless `forward` is null.
  void hand_up(const Waiter& waiter, const ForwardHead* forward, std::span<const std::uint8_t> reply);
  void hand_up_all(Flight& flight, const ForwardHead* forward, std::span<const std::uint8_t> reply);
  void tell_news();
  UpstreamCounts& counts(const Flight& flight);

  ForwardShared& shared_;
  UpQueue& queue_;
  Counters& counters_;
  const std::function<void()>& wake_;
  UniqueFd epoll_;
  Random random_;
  std::uint64_t shuffling_ = 0;
  Flights flights_;
  std::vector<std::unique_ptr<Lanes>> lanes_;
  std::vector<UpstreamSocket*> dirty_;
  std::unique_ptr<Batch> batch_;
  Sender sender_;
  std::size_t send_failed_ = 0;
};

}  // namespace nodeplane::dns

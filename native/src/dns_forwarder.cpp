// Layer native. See dns_forwarder.hpp: queries on their way up, attempts and failures. Replies stand in
// dns_forward_replies.cpp.
#include "dns_forwarder.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dns_forward_batch.hpp"
#include "dns_types.hpp"

namespace nodeplane::dns {
namespace {

/// Over all attempts: what a stub resolver waits for.
constexpr std::uint64_t kDeadlineNs = 5'000'000'000ULL;
/// Questions of one kind under way at once where replies are kept (one: they are merged), and where they are not.
constexpr std::size_t kMostAlikeKept = 1;
constexpr std::size_t kMostAlike = 16;
/// Clients that wait for one reply.
constexpr std::size_t kMostWaiters = 64;
constexpr std::size_t kBurst = 64;
/// RD, AD and CD go upstream.
constexpr std::uint16_t kPassedFlags = 0x0130;

bool is_within(const Labels& labels, const std::vector<Zone>& zones) {
  for (const Zone& zone : zones) {
    if (labels.below(zone) >= 0) return true;
  }
  return false;
}

std::uint64_t seed_of(Random& random) {
  std::uint64_t seed = 0;
  for (int i = 0; i < 4; i++) seed = (seed << 16) | random.u16();
  return seed | 1;
}

}  // namespace

Forwarder::Forwarder(ForwardShared& shared, UpQueue& queue, Counters& counters, const std::function<void()>& wake)
    : shared_(shared),
      queue_(queue),
      counters_(counters),
      wake_(wake),
      shuffling_(seed_of(random_)),
      flights_(seed_of(random_)) {}

Forwarder::~Forwarder() { shared_.in_flight.fetch_sub(static_cast<std::int64_t>(flights_.count())); }

bool Forwarder::start() {
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  return epoll_.valid();
}

bool Forwarder::take(const Config& config, const Query& query, std::span<const std::uint8_t> packet,
                     const Arrival& arrival) {
  if (config.plan->groups.empty() || packet.size() > kMaxQuery) return false;
  if (is_for_chain(query.type) || query.type == kHinfo) return false;  // the probes of the `loop` plugin
  Labels labels;
  if (!labels.read({query.lower.data(), query.name_bytes})) return false;
  const std::uint8_t listener = arrival.head.listener;
  const Route* route = route_of(config, listener, labels);
  if (route == nullptr || (route->flags & kForwards) == 0) return false;
  Group& group = *config.plan->groups[route->group];
  if (!group.is_on.load(std::memory_order_relaxed) || !is_within(labels, group.zones) || is_within(labels, group.left)) {
    return false;
  }
  const bool is_kept = (group.flags & kThroughChain) != 0;
  if (is_kept && shared_.kept.has(query, arrival.now_ms / 1000)) return false;
  Flight* alike = nullptr;
  const std::size_t most = is_kept ? kMostAlikeKept : kMostAlike;
  const bool joins = flights_.same(query, listener, alike) >= most && alike->group == &group;
  if (!joins && group.at_once > 0 && group.in_work.load(std::memory_order_relaxed) >= group.at_once) return false;
  Order order;
  if (!joins && !choose(group, *config.plan, order)) return false;
  Waiter* waiter = joins && alike->waiter_count >= kMostWaiters ? nullptr : flights_.wait(arrival.head, packet);
  if (waiter == nullptr) {
    counters_.overload.add();
    return true;
  }
  waiter->fd = arrival.fd;
  waiter->arrived_ns = arrival.now_ns;
  counters_.forwarded.add();
  Flight* flight = joins ? alike : flights_.make(query, listener);
  waiter->next = flight->waiters;
  flight->waiters = waiter;
  flight->waiter_count++;
  if (joins) return true;
  flight->lanes = &lanes_of(config);
  flight->lanes->flights++;
  flight->group = &group;
  flight->order = order;
  flight->until_ns = arrival.now_ns + kDeadlineNs;
  flight->shuffles = (route->flags & kShuffles) != 0;
  flight->slots = route->forward_slots[type_index(query.type)];
  group.in_work.fetch_add(1, std::memory_order_relaxed);
  shared_.in_flight.fetch_add(1, std::memory_order_relaxed);
  try_next(*flight, arrival.now_ns, 0);
  return true;
}

/// The healthy, in the order of the policy. @returns false when there is none: whom to ask then is the chain's choice
bool Forwarder::choose(Group& group, const ForwardPlan& plan, Order& order) {
  for (std::size_t i = 0; i < group.count; i++) {
    const std::size_t index = group.first + i;
    if ((plan.upstreams[index]->bits.load(std::memory_order_relaxed) & kDown) != 0) continue;
    order.upstreams[order.count++] = static_cast<std::uint8_t>(index);
  }
  if (order.count == 0) return false;
  if (order.count == 1 || group.policy == Policy::kSequential) return true;
  const std::size_t start = group.policy == Policy::kRandom
                                ? random_.below(order.count)
                                : group.turn.fetch_add(1, std::memory_order_relaxed) % order.count;
  const auto begin = order.upstreams.begin();
  std::rotate(begin, begin + start, begin + order.count);
  return true;
}

Lanes& Forwarder::lanes_of(const Config& config) {
  if (lanes_.empty() || &lanes_.back()->plan() != config.plan.get()) {
    lanes_.push_back(std::make_unique<Lanes>(config.plan, epoll_.get(), random_));
  }
  return *lanes_.back();
}

/// The next attempt, or the end. @param error of the attempt before
void Forwarder::try_next(Flight& flight, std::uint64_t now_ns, int error) {
  const Group& group = *flight.group;
  for (;;) {
    const bool has_attempts = flight.attempt < 2U * flight.order.count &&
                              (group.attempts == 0 || flight.attempt < group.attempts);
    if (!has_attempts || now_ns >= flight.until_ns) break;
    const auto left_ms = static_cast<std::uint32_t>((flight.until_ns - now_ns) / 1'000'000);
    bool was_there = false;
    UpstreamSocket* socket = flight.lanes->pick(flight.upstream(), group, now_ns, was_there);
    if (socket != nullptr) {
      (was_there ? counts(flight).kept : counts(flight).opened).add();
      return send(flight, *socket, now_ns, std::min(left_ms, group.timeout_ms));
    }
    error = errno;
    flight.sent_ns = now_ns;
    flight.lanes->upstream(flight.upstream()).failed.fetch_add(1, std::memory_order_relaxed);
    tell_news();
    flight.attempt++;
  }
  if (flight.attempt > 0) flight.attempt--;
  const ForwardHead head{group.token, static_cast<std::uint32_t>((now_ns - flight.sent_ns) / 1'000),
                         static_cast<std::uint16_t>(flight.upstream() - group.first),
                         static_cast<std::uint16_t>(error == 0 ? ETIMEDOUT : error)};
  hand_up_all(flight, &head, {});
  end(flight);
}

/// Identifier and letters are new with each attempt.
void Forwarder::send(Flight& flight, UpstreamSocket& socket, std::uint64_t now_ns, std::uint32_t patience_ms) {
  const std::uint8_t bits = flight.lanes->upstream(socket.upstream).bits.load(std::memory_order_relaxed);
  flight.is_exact = (bits & kLosesCase) == 0;
  const Waiter& first = *flight.waiters;
  const std::uint8_t* asked = first.packet.data() + kHeaderBytes;
  std::uint32_t letters = 1;
  for (std::size_t i = 0; i < flight.name_bytes; i++) {
    std::uint8_t octet = asked[i];
    const std::uint8_t folded = flight.lower[i];
    // Lengths of labels are below 64, before any letter.
    if (flight.is_exact && folded >= 'a' && folded <= 'z') {
      if (letters == 1) letters = 0x10000U | random_.u16();
      octet = static_cast<std::uint8_t>((letters & 1) != 0 ? folded : folded - 32);
      letters >>= 1;
    }
    flight.sent[i] = octet;
  }
  std::uint16_t id = random_.u16();
  while (flights_.is_taken(&socket, id)) id = random_.u16();
  Outgoing& outgoing = socket.queue.emplace_back();
  std::uint8_t* out = outgoing.packet.data();
  const std::size_t name = flight.name_bytes;
  write_u16(out, id);
  write_u16(out + 2, read_u16(&first.packet[2]) & kPassedFlags);
  write_u16(out + 4, 1);
  write_u32(out + 6, 0);
  write_u16(out + 10, flight.has_edns ? 1 : 0);
  std::memcpy(out + kHeaderBytes, flight.sent.data(), name);
  write_u16(out + kHeaderBytes + name, flight.type);
  write_u16(out + kHeaderBytes + name + 2, 1);
  std::size_t size = kHeaderBytes + name + 4;
  if (flight.has_edns) {
    write_opt(out + size, (flight.key_flags & kDnssec) != 0);
    size += kOptBytes;
  }
  outgoing.bytes = static_cast<std::uint16_t>(size);
  socket.queries++;
  socket.in_flight++;
  socket.flights.add(flight);
  flights_.depart(flight, &socket, id, now_ns, patience_ms);
  if (socket.is_dirty) return;
  socket.is_dirty = true;
  dirty_.push_back(&socket);
}

void Forwarder::leave_socket(Flight& flight) {
  UpstreamSocket& socket = *flight.socket;
  socket.flights.remove(flight);
  socket.in_flight--;
  flights_.arrive(flight);
}

void Forwarder::fail(Flight& flight, std::uint64_t now_ns, int error) {
  flight.lanes->upstream(flight.upstream()).failed.fetch_add(1, std::memory_order_relaxed);
  tell_news();
  leave_socket(flight);
  flight.attempt++;
  try_next(flight, now_ns, error);
}

/// Whoever waits on it is asked for again.
void Forwarder::fail_socket(UpstreamSocket& socket, std::uint64_t now_ns, int error) {
  socket.lanes->close(socket);
  while (Flight* flight = socket.flights.first()) fail(*flight, now_ns, error);
}

void Forwarder::end(Flight& flight) {
  if (flight.socket != nullptr) leave_socket(flight);
  flight.group->in_work.fetch_sub(1, std::memory_order_relaxed);
  flight.lanes->flights--;
  shared_.in_flight.fetch_sub(1, std::memory_order_relaxed);
  flights_.end(&flight);
}

void Forwarder::on_time(std::uint64_t now_ns) {
  while (Flight* flight = flights_.overdue(now_ns)) fail(*flight, now_ns, ETIMEDOUT);
}

void Forwarder::finish(std::uint64_t now_ns) {
  while (!dirty_.empty()) {
    UpstreamSocket& socket = *dirty_.back();
    dirty_.pop_back();
    socket.is_dirty = false;
    flush(socket, now_ns);
  }
  for (const auto& lanes : lanes_) lanes->sweep();
  if (lanes_.size() > 1) {
    const auto* current = lanes_.back().get();
    std::erase_if(lanes_, [&](const auto& lanes) { return lanes.get() != current && lanes->is_idle(); });
  }
}

void Forwarder::flush(UpstreamSocket& socket, std::uint64_t now_ns) {
  std::array<mmsghdr, kBurst> messages;
  std::array<iovec, kBurst> data;
  // Failures put queries into queues of other sockets, never of this one.
  const std::vector<Outgoing> queue = std::exchange(socket.queue, {});
  for (std::size_t sent = 0; sent < queue.size();) {
    const std::size_t count = std::min(queue.size() - sent, kBurst);
    for (std::size_t i = 0; i < count; i++) {
      const Outgoing& outgoing = queue[sent + i];
      data[i] = {const_cast<std::uint8_t*>(outgoing.packet.data()), outgoing.bytes};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &data[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int done = retry([&] {
      return ::sendmmsg(socket.fd.get(), messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
    });
    // No room is as good as lost on the way; anything else is the end of the socket.
    if (done <= 0 && errno != EAGAIN && errno != ENOBUFS) return fail_socket(socket, now_ns, errno);
    sent += done <= 0 ? 1 : static_cast<std::size_t>(done);
  }
}

void Forwarder::tell_news() {
  if (shared_.has_news.exchange(true, std::memory_order_acq_rel)) return;
  const PacketHead head{};
  if (!queue_.push(head, {}, wake_)) shared_.has_news.store(false, std::memory_order_release);
}

UpstreamCounts& Forwarder::counts(const Flight& flight) {
  return counters_.upstreams[flight.lanes->upstream(flight.upstream()).counter];
}

}  // namespace nodeplane::dns

// Layer native. See dns_forwarder.hpp: replies of upstreams, on their way to clients or to the chain.
#include <sys/epoll.h>
#include <time.h>

#include <cerrno>

#include "dns_forward_batch.hpp"

namespace nodeplane::dns {
namespace {

constexpr int kEvents = 64;
/// Batches of one socket before the others are looked at.
constexpr std::size_t kTurns = 8;

/// Index of the code's counters; kForwardRcodes.size(): the chain counts it.
std::size_t rcode_index(std::uint8_t rcode) {
  std::size_t index = 0;
  while (index < kForwardRcodes.size() && kForwardRcodes[index] != rcode) index++;
  return index;
}

std::span<const std::uint8_t> octets_of(const ForwardHead& head) {
  return {reinterpret_cast<const std::uint8_t*>(&head), sizeof head};
}

}  // namespace

void Forwarder::on_replies(std::uint64_t now_ns) {
  std::array<epoll_event, kEvents> events;
  const int ready = retry([&] { return ::epoll_wait(epoll_.get(), events.data(), kEvents, 0); });
  for (int i = 0; i < ready; i++) {
    auto& socket = *static_cast<UpstreamSocket*>(events[static_cast<std::size_t>(i)].data.ptr);
    if (socket.fd.valid()) receive(socket, now_ns);
  }
  // Whatever waits for one reply was sent by now, or its buffer is needed again.
  sender_.flush();
  counters_.send_failed.add(sender_.failed() - send_failed_);
  send_failed_ = sender_.failed();
}

void Forwarder::receive(UpstreamSocket& socket, std::uint64_t now_ns) {
  if (batch_ == nullptr) batch_ = std::make_unique<Batch>();
  Batch& batch = *batch_;
  for (std::size_t turn = 0; turn < kTurns; turn++) {
    // Replies of the batch before still lie in the buffers.
    sender_.flush();
    for (std::size_t i = 0; i < kReplyBatch; i++) {
      batch.data[i] = {batch.packets[i].data(), kMaxUdp};
      batch.messages[i] = {};
      batch.messages[i].msg_hdr.msg_iov = &batch.data[i];
      batch.messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int got = retry([&] { return ::recvmmsg(socket.fd.get(), batch.messages.data(), kReplyBatch, MSG_DONTWAIT, nullptr); });
    if (got < 0 && errno != EAGAIN) return fail_socket(socket, now_ns, errno);
    for (int k = 0; k < got; k++) {
      const auto i = static_cast<std::size_t>(k);
      const std::span<std::uint8_t> packet(batch.packets[i].data(), batch.messages[i].msg_len);
      if (packet.size() < kHeaderBytes) continue;
      Flight* flight = flights_.find(&socket, read_u16(packet.data()));
      if (flight == nullptr) continue;
      if ((batch.messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
        hand_up_all(*flight, nullptr, {});
        end(*flight);
        continue;
      }
      on_reply(*flight, packet, now_ns);
    }
    if (got < static_cast<int>(kReplyBatch)) return;
  }
}

/// What is no reply to our question is ignored: it may be forged, the true one may still come.
void Forwarder::on_reply(Flight& flight, std::span<std::uint8_t> packet, std::uint64_t now_ns) {
  const Sent sent{flight.id, {flight.sent.data(), flight.name_bytes}, flight.type};
  const Match match = match_reply(packet, sent);
  if (match == Match::kForeign) return;
  if (match == Match::kOtherSpelling && flight.is_exact) {
    // Forged, or of a server that does not copy names: the chain asks over TCP and finds out.
    hand_up_all(flight, nullptr, {});
    return end(flight);
  }
  Upstream& upstream = flight.lanes->upstream(flight.upstream());
  if ((upstream.bits.load(std::memory_order_relaxed) & kSuspect) != 0) {
    upstream.recovered.fetch_add(1, std::memory_order_relaxed);
    tell_news();
  }
  const Group& group = *flight.group;
  UpstreamReply reply;
  const bool is_plain = (group.flags & kThroughChain) == 0 && read_reply(packet, sent, reply) &&
                        rcode_index(reply.rcode) < kForwardRcodes.size() && !(flight.shuffles && reply.shuffles_oddly);
  const ForwardHead head{group.token, static_cast<std::uint32_t>((now_ns - flight.sent_ns) / 1'000),
                         static_cast<std::uint16_t>(flight.upstream() - group.first), 0};
  if (is_plain) {
    answer(flight, packet, reply, head, now_ns);
  } else {
    hand_up_all(flight, &head, packet);
  }
  end(flight);
}

/// To all who wait, in place: each spelling is written over the one before.
void Forwarder::answer(Flight& flight, std::span<std::uint8_t> packet, const UpstreamReply& reply, const ForwardHead& up,
                       std::uint64_t now_ns) {
  std::array<std::uint8_t, kMaxName + 1> spelled = flight.sent;
  const std::size_t rcode = rcode_index(reply.rcode);
  const std::uint16_t slot = flight.slots[rcode];
  bool is_counted = false;
  for (const Waiter* waiter = flight.waiters; waiter != nullptr; waiter = waiter->next) {
    const std::span<const std::uint8_t> asked(waiter->packet.data(), waiter->head.bytes);
    Query query;
    std::size_t bytes = 0;
    if (parse_query(asked, query)) {
      if (is_counted) sender_.flush();
      respell(packet, reply, {spelled.data(), flight.name_bytes}, {query.name, query.name_bytes});
      std::memcpy(spelled.data(), query.name, query.name_bytes);
      if (flight.shuffles && reply.rotate_count > 1) {
        shuffle(&packet[reply.rotate_at], reply.rotate_count, reply.rotate_stride, shuffling_);
      }
      bytes = adapt_reply(packet.data(), kReplyRoom, reply, query);
    }
    if (bytes == 0) {
      // Too large for this client: the chain cuts it. Once somebody was answered it is no longer the upstream's.
      hand_up(*waiter, is_counted ? nullptr : &up, is_counted ? std::span<const std::uint8_t>{} : packet);
      continue;
    }
    PacketHead head = waiter->head;
    head.bytes = static_cast<std::uint16_t>(bytes);
    sender_.add(waiter->fd, head, packet.data());
    count_answer(counters_, slot, query, asked.size(), bytes, head.family == 6);
    const std::uint64_t took = now_ns - waiter->arrived_ns;
    counters_.slots[slot].nanoseconds.add(took);
    counters_.slots[slot].durations[duration_bucket(took)].add();
    is_counted = true;
  }
  if (!is_counted) return;
  const std::uint64_t took = now_ns - flight.sent_ns;
  auto& replies = counts(flight).replies[rcode];
  replies.nanoseconds.add(took);
  replies.durations[duration_bucket(took)].add();
}

void Forwarder::hand_up(const Waiter& waiter, const ForwardHead* forward, std::span<const std::uint8_t> reply) {
  PacketHead head = waiter.head;
  const std::span<const std::uint8_t> packet(waiter.packet.data(), head.bytes);
  const auto behind = forward == nullptr ? std::span<const std::uint8_t>{} : octets_of(*forward);
  head.extra = static_cast<std::uint16_t>(behind.size() + reply.size());
  (queue_.push(head, packet, wake_, behind, reply) ? counters_.handed_up : counters_.overload).add();
}

void Forwarder::hand_up_all(Flight& flight, const ForwardHead* forward, std::span<const std::uint8_t> reply) {
  for (const Waiter* waiter = flight.waiters; waiter != nullptr; waiter = waiter->next) hand_up(*waiter, forward, reply);
}

}  // namespace nodeplane::dns

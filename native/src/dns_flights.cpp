// Layer native. See dns_flights.hpp.
#include "dns_flights.hpp"

#include <cstring>

#include "dns_hash.hpp"

namespace nodeplane::dns {

Waiter* Flights::wait(const PacketHead& head, std::span<const std::uint8_t> packet) {
  std::uint16_t& same_client = of_client(head);
  if (waiting_ >= kMost || same_client >= kMostOfClient || packet.size() > kMaxQuery) return nullptr;
  if (free_waiters_ == nullptr) {
    waiters_.push_back(std::make_unique<Waiter>());
    free_waiters_ = waiters_.back().get();
  }
  Waiter* waiter = free_waiters_;
  free_waiters_ = waiter->next;
  waiter->next = nullptr;
  waiter->head = head;
  std::memcpy(waiter->packet.data(), packet.data(), packet.size());
  waiting_++;
  same_client++;
  return waiter;
}

void Flights::forget(Waiter* waiter) {
  of_client(waiter->head)--;
  waiting_--;
  waiter->next = free_waiters_;
  free_waiters_ = waiter;
}

Flight* Flights::make(const Query& query, std::uint8_t listener) {
  if (free_.empty()) {
    flights_.push_back(std::make_unique<Flight>());
    free_.push_back(flights_.back().get());
  }
  Flight* flight = free_.back();
  free_.pop_back();
  flight->waiters = nullptr;
  flight->waiter_count = 0;
  flight->attempt = 0;
  flight->socket = nullptr;
  flight->hash = question_hash(query, listener);
  flight->type = query.type;
  flight->name_bytes = static_cast<std::uint8_t>(query.name_bytes);
  flight->key_flags = query.key_flags;
  flight->listener = listener;
  flight->has_edns = query.has_edns;
  std::memcpy(flight->lower.data(), query.lower.data(), query.name_bytes);
  by_question_[flight->hash % kBuckets].add(*flight);
  count_++;
  return flight;
}

void Flights::end(Flight* flight) {
  if (flight->socket != nullptr) arrive(*flight);
  while (flight->waiters != nullptr) {
    Waiter* waiter = flight->waiters;
    flight->waiters = waiter->next;
    forget(waiter);
  }
  by_question_[flight->hash % kBuckets].remove(*flight);
  free_.push_back(flight);
  count_--;
}

std::size_t Flights::same(const Query& query, std::uint8_t listener, Flight*& one) const {
  const std::uint64_t hash = question_hash(query, listener);
  std::size_t count = 0;
  for (Flight* flight = by_question_[hash % kBuckets].first(); flight != nullptr; flight = flight->by_question.behind) {
    if (flight->hash != hash || flight->name_bytes != query.name_bytes || flight->type != query.type) continue;
    if (flight->key_flags != query.key_flags || flight->has_edns != query.has_edns || flight->listener != listener) continue;
    if (std::memcmp(flight->lower.data(), query.lower.data(), query.name_bytes) != 0) continue;
    one = flight;
    count++;
  }
  return count;
}

Flight* Flights::find(const UpstreamSocket* socket, std::uint16_t id) const {
  for (Flight* flight = by_id_[id_bucket(socket, id)].first(); flight != nullptr; flight = flight->by_id.behind) {
    if (flight->id == id && flight->socket == socket) return flight;
  }
  return nullptr;
}

void Flights::depart(Flight& flight, UpstreamSocket* socket, std::uint16_t id, std::uint64_t now_ns,
                     std::uint32_t milliseconds) {
  flight.socket = socket;
  flight.id = id;
  flight.sent_ns = now_ns;
  flight.patience_ms = milliseconds;
  by_id_[id_bucket(socket, id)].add(flight);
  if (under_way_++ == 0) seen_tick_ = now_ns / kTickNs;
  // Never before its time, and never so late that the wheel comes round.
  std::uint64_t ticks = (std::uint64_t{milliseconds} * 1'000'000 + kTickNs - 1) / kTickNs + 1;
  if (ticks > kMostTicks) ticks = kMostTicks;
  flight.tick = (now_ns / kTickNs + ticks) % kTicks;
  ticks_[flight.tick].add(flight);
}

void Flights::arrive(Flight& flight) {
  by_id_[id_bucket(flight.socket, flight.id)].remove(flight);
  ticks_[flight.tick].remove(flight);
  flight.socket = nullptr;
  under_way_--;
}

int Flights::patience(std::uint64_t now_ns) const {
  if (under_way_ == 0) return -1;
  for (std::uint64_t tick = seen_tick_ + 1; tick < seen_tick_ + kTicks; tick++) {
    if (ticks_[tick % kTicks].first() == nullptr) continue;
    const std::uint64_t at = tick * kTickNs;
    return at <= now_ns ? 0 : static_cast<int>((at - now_ns) / 1'000'000 + 1);
  }
  return 0;
}

Flight* Flights::overdue(std::uint64_t now_ns) {
  const std::uint64_t now = now_ns / kTickNs;
  if (under_way_ == 0) return nullptr;
  // After a long sleep one round finds all.
  if (now > seen_tick_ + kTicks) seen_tick_ = now - kTicks;
  while (seen_tick_ < now) {
    Flight* flight = ticks_[(seen_tick_ + 1) % kTicks].first();
    if (flight != nullptr) return flight;
    seen_tick_++;
  }
  return nullptr;
}

std::size_t Flights::id_bucket(const UpstreamSocket* socket, std::uint16_t id) const {
  return mix(reinterpret_cast<std::uintptr_t>(socket) ^ seed_, (std::uint64_t{id} << 32) | 0x9e3779b9U) % kBuckets;
}

std::uint64_t Flights::question_hash(const Query& query, std::uint8_t listener) const {
  const std::uint32_t rest = (std::uint32_t{query.type} << 16) | (std::uint32_t{listener} << 8) |
                             (query.has_edns ? 0x80U : 0U) | query.key_flags;
  return hash_octets(seed_, query.lower.data(), query.name_bytes, rest);
}

std::uint16_t& Flights::of_client(const PacketHead& head) {
  return clients_[hash_octets(seed_, head.client.data(), head.client.size(), head.family) % clients_.size()];
}

}  // namespace nodeplane::dns

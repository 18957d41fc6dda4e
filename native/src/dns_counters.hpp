// Layer native. Counters without locks: every thread owns its own and only adds, the reader sums up. A slot's meaning
// (server, zone, type, rcode) is known to JavaScript alone.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dns_config.hpp"
#include "dns_entry.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kSizeBuckets = 15;
inline constexpr std::size_t kDurationBuckets = 17;
/// Upper bounds of CoreDNS's size histograms; the last bucket has none. src/dns/engine/counters.ts has the same.
inline constexpr std::array<std::uint32_t, kSizeBuckets - 1> kSizeBounds = {0,    100,  200,  300,   400,   511,   1023,
                                                                           2047, 4095, 8291, 16000, 32000, 48000, 64000};

class Count {
 public:
  void add(std::uint64_t by = 1) { value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Order of the numbers of a slot, as JavaScript reads them.
struct Slot {
  std::array<Count, 2> families;  // IPv4, IPv6
  Count dnssec;
  Count request_bytes;
  Count reply_bytes;
  Count nanoseconds;
  std::array<Count, kSizeBuckets> request_sizes;
  std::array<Count, kSizeBuckets> reply_sizes;
  std::array<Count, kDurationBuckets> durations;
};
inline constexpr std::size_t kSlotNumbers = sizeof(Slot) / sizeof(Count);

/// Of one upstream: sockets that were there and opened ones, and times of replies that went to clients from here, by code.
struct UpstreamCounts {
  Count kept;
  Count opened;
  struct Replies {
    Count nanoseconds;
    std::array<Count, kDurationBuckets> durations;
  };
  std::array<Replies, kForwardRcodes.size()> replies;
};
inline constexpr std::size_t kUpstreamNumbers = sizeof(UpstreamCounts) / sizeof(Count);

struct Counters {
  Count received;
  Count answered;
  Count handed_up;
  /// Not taken up because the queue was full.
  Count overload;
  Count send_failed;
  /// Queries taken to be forwarded here.
  Count forwarded;
  std::array<UpstreamCounts, kUpstreamCounters> upstreams;
  std::array<Slot, kCounterSlots> slots;
};
inline constexpr std::size_t kHeadNumbers = 6;
static_assert(sizeof(Counters) ==
              (kHeadNumbers + kUpstreamCounters * kUpstreamNumbers + kCounterSlots * kSlotNumbers) * sizeof(Count));

inline std::size_t size_bucket(std::size_t bytes) {
  std::size_t bucket = 0;
  while (bucket < kSizeBounds.size() && bytes > kSizeBounds[bucket]) bucket++;
  return bucket;
}

/// Buckets of 0.25 ms times powers of two.
inline std::size_t duration_bucket(std::uint64_t nanoseconds) {
  std::size_t bucket = 0;
  while (bucket + 1 < kDurationBuckets && nanoseconds > (250'000ULL << bucket)) bucket++;
  return bucket;
}

/// One answer of `slot`, all but its time.
inline void count_answer(Counters& counters, std::uint16_t slot_index, const Query& query, std::size_t request_bytes,
                         std::size_t reply_bytes, bool is_v6) {
  counters.answered.add();
  Slot& slot = counters.slots[slot_index];
  slot.families[is_v6 ? 1 : 0].add();
  if (query.dnssec_ok) slot.dnssec.add();
  slot.request_bytes.add(request_bytes);
  slot.reply_bytes.add(reply_bytes);
  slot.request_sizes[size_bucket(request_bytes)].add();
  slot.reply_sizes[size_bucket(reply_bytes)].add();
}

}  // namespace nodeplane::dns

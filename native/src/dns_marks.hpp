// Layer native. What JavaScript has in a cache: until when, by a hash of the question. Who shares a place with another is
// taken to be there as well, which costs a question a detour and nothing else. One writer, readers that never wait.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>

#include "dns_hash.hpp"
#include "dns_query.hpp"

namespace nodeplane::dns {

class Marks {
 public:
  explicit Marks(std::uint64_t seed) : seed_(seed) {}

  /// Readers. `key_flags`: those of the query. Seconds since the epoch.
  [[nodiscard]] bool has(const Query& query, std::int64_t now_s) const {
    const Place* places = places_.load(std::memory_order_acquire);
    if (places == nullptr) return false;
    const std::size_t at = place(query.lower.data(), query.name_bytes, query.type, query.key_flags);
    return static_cast<std::int64_t>(places[at].load(std::memory_order_relaxed)) > now_s;
  }
  /// The writer. `name` in wire form and lower case; `until_s` 0: it is gone.
  void set(std::span<const std::uint8_t> name, std::uint16_t type, std::uint8_t key_flags, std::uint32_t until_s) {
    if (owned_ == nullptr) {
      owned_ = std::make_unique<Place[]>(kPlaces);
      places_.store(owned_.get(), std::memory_order_release);
    }
    Place& known = owned_[place(name.data(), name.size(), type, key_flags)];
    known.store(until_s == 0 ? 0 : std::max(known.load(std::memory_order_relaxed), until_s), std::memory_order_relaxed);
  }
  void clear() {
    for (std::size_t i = 0; owned_ != nullptr && i < kPlaces; i++) owned_[i].store(0, std::memory_order_relaxed);
  }

 private:
  using Place = std::atomic<std::uint32_t>;
  static constexpr std::size_t kPlaces = std::size_t{1} << 18;

  /// A cache keeps replies apart by DO and CD.
  [[nodiscard]] std::size_t place(const std::uint8_t* name, std::size_t bytes, std::uint16_t type, std::uint8_t flags) const {
    const std::uint32_t rest = (std::uint32_t{type} << 16) | (flags & (kChecking | kDnssec));
    return hash_octets(seed_, name, bytes, rest) % kPlaces;
  }

  std::uint64_t seed_;
  std::unique_ptr<Place[]> owned_;
  std::atomic<Place*> places_{nullptr};
};

}  // namespace nodeplane::dns

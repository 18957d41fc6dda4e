// Layer native. Pointers by hash, several with one hash allowed: one writer, readers that never wait. Open addressing with
// linear probing; slots are atomic and hold 48 bits of pointer (user addresses need no more) and 16 bits of the hash.
// At most half of the slots are in use, so that a probe is short and always ends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dns_epochs.hpp"

namespace nodeplane::dns {

template <typename T>
class PointerMap {
 public:
  explicit PointerMap(Epochs& epochs) : epochs_(epochs), slots_(new Slots(kFirst)) {}
  PointerMap(const PointerMap&) = delete;
  PointerMap& operator=(const PointerMap&) = delete;
  ~PointerMap() { delete slots_.load(); }

  /// Readers: calls `visit` with every pointer that may have the hash until it returns true.
  template <typename Visit>
  void find(std::uint64_t hash, Visit visit) const {
    const Slots* slots = slots_.load(std::memory_order_acquire);
    for (std::size_t i = hash & slots->mask;; i = (i + 1) & slots->mask) {
      const std::uint64_t value = slots->at(i).load(std::memory_order_acquire);
      if (value == 0) return;
      if (value != kGone && (value >> 48) == (hash >> 48) && visit(unpack(value))) return;
    }
  }

  /// The writer: makes room for `count` more. `rebuild(put)` is called when a larger array is needed: it puts everything again.
  template <typename Rebuild>
  void reserve(std::size_t count, Rebuild rebuild) {
    if ((filled_ + count) * 2 > slots_.load()->mask + 1) grow(count, rebuild);
  }

  /// The writer, after reserve().
  void insert(std::uint64_t hash, const T* object) { put(*slots_.load(), hash, object); }

  /// The writer: `to` in the place of `from`, at once for readers. @returns false when `from` is not there
  bool replace(std::uint64_t hash, const T* from, T* to) { return change(hash, from, pack(hash, to)); }

  /// The writer.
  void remove(std::uint64_t hash, const T* object) {
    if (change(hash, object, kGone)) used_--;
  }

  [[nodiscard]] std::size_t size() const { return used_; }
  [[nodiscard]] std::size_t bytes() const { return (slots_.load()->mask + 1) * sizeof(std::uint64_t); }
  /// False for pointers that a slot cannot hold.
  [[nodiscard]] static bool fits(const T* object) { return unpack(pack(0, object)) == object; }

  /// The writer: every pointer, as often as it is there.
  template <typename Visit>
  void each(Visit visit) const {
    const Slots* slots = slots_.load();
    for (std::size_t i = 0; i <= slots->mask; i++) {
      const std::uint64_t value = slots->at(i).load(std::memory_order_relaxed);
      if (value != 0 && value != kGone) visit(unpack(value));
    }
  }

 private:
  struct Slots {
    explicit Slots(std::size_t count) : mask(count - 1), data(new std::atomic<std::uint64_t>[count]()) {}
    [[nodiscard]] std::atomic<std::uint64_t>& at(std::size_t i) const { return data[i]; }
    std::size_t mask;
    std::unique_ptr<std::atomic<std::uint64_t>[]> data;
  };
  static constexpr std::size_t kFirst = 64;
  /// Something was here: probes go on.
  static constexpr std::uint64_t kGone = 1;

  static std::uint64_t pack(std::uint64_t hash, const T* object) {
    return reinterpret_cast<std::uint64_t>(object) | ((hash >> 48) << 48);
  }
  static T* unpack(std::uint64_t value) { return reinterpret_cast<T*>(value & 0x0000ffffffffffffULL); }

  void put(Slots& slots, std::uint64_t hash, const T* object) {
    for (std::size_t i = hash & slots.mask;; i = (i + 1) & slots.mask) {
      const std::uint64_t value = slots.at(i).load(std::memory_order_relaxed);
      if (value != 0 && value != kGone) continue;
      if (value == 0) filled_++;
      used_++;
      slots.at(i).store(pack(hash, object), std::memory_order_release);
      return;
    }
  }

  bool change(std::uint64_t hash, const T* from, std::uint64_t to) {
    Slots& slots = *slots_.load();
    const std::uint64_t wanted = pack(hash, from);
    for (std::size_t i = hash & slots.mask;; i = (i + 1) & slots.mask) {
      const std::uint64_t value = slots.at(i).load(std::memory_order_relaxed);
      if (value == 0) return false;
      if (value != wanted) continue;
      slots.at(i).store(to, std::memory_order_release);
      if (to == kGone) tidy(slots, i);
      return true;
    }
  }

  /// Before an empty slot nothing needs to say "go on": what was emptied at the end of a run is free again.
  void tidy(Slots& slots, std::size_t i) {
    if (slots.at((i + 1) & slots.mask).load(std::memory_order_relaxed) != 0) return;
    for (; slots.at(i).load(std::memory_order_relaxed) == kGone; i = (i - 1) & slots.mask) {
      slots.at(i).store(0, std::memory_order_release);
      filled_--;
    }
  }

  /// Readers go on in the old array until they look again; both hold the same meanwhile.
  template <typename Rebuild>
  void grow(std::size_t more, Rebuild rebuild) {
    Slots* old = slots_.load();
    std::size_t count = kFirst;
    while (count < (used_ + more) * 3) count *= 2;
    auto next = std::make_unique<Slots>(count);
    used_ = 0;
    filled_ = 0;
    rebuild([&](std::uint64_t hash, const T* object) { put(*next, hash, object); });
    slots_.store(next.release(), std::memory_order_release);
    epochs_.retire(std::unique_ptr<Slots>(old));
  }

  Epochs& epochs_;
  std::atomic<Slots*> slots_;
  std::size_t used_ = 0;
  /// Used, or gone without being free.
  std::size_t filled_ = 0;
};

}  // namespace nodeplane::dns

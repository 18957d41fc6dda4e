// Layer native. Learned answers by name, type and flags. One writer (the thread of JavaScript), any number of readers that
// never wait: slots are atomic pointers to immutable entries, freed by epochs. An entry names up to four tags; when a tag's
// generation moves on, the entry is void at once. Memory is bounded: over the limit, entries that were not asked for lately
// go.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dns_entry.hpp"
#include "dns_epochs.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kTags = 65536;

class Table {
 public:
  Table(Epochs& epochs, std::size_t max_bytes, std::uint64_t seed);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  ~Table();

  /// Readers, between Epochs::enter() and leave(): the entry for the query, valid now; null when there is none.
  [[nodiscard]] const Entry* find(const Query& query, std::uint8_t listener, std::int64_t now_ms) const;
  [[nodiscard]] std::uint32_t serial() const { return serial_.load(std::memory_order_relaxed); }

  // The writer.
  void publish(EntryPointer entry);
  void set_generation(std::uint16_t tag, std::uint32_t generation);
  void set_serial(std::uint32_t serial) { serial_.store(serial, std::memory_order_relaxed); }
  /// Forgets all entries.
  void flush();
  [[nodiscard]] std::size_t entries() const { return entries_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t kWays = 8;
  struct alignas(64) Set {
    std::array<std::atomic<std::uint64_t>, kWays> slots{};
  };
  struct Sets {
    explicit Sets(std::size_t count) : sets(count), mask(count - 1) {}
    std::vector<Set> sets;
    std::size_t mask;
  };

  [[nodiscard]] bool is_valid(const Entry& entry, std::int64_t now_ms) const;
  [[nodiscard]] const Entry* look(const std::uint8_t* name, const Query& query, std::uint8_t listener,
                                  std::uint8_t flags) const;
  void take_out(std::atomic<std::uint64_t>& slot);
  void put(Sets& sets, Entry* entry);
  void grow();
  void make_room();

  Epochs& epochs_;
  std::atomic<Sets*> sets_;
  std::unique_ptr<std::array<std::atomic<std::uint32_t>, kTags>> generations_;
  std::atomic<std::uint32_t> serial_{0};
  std::size_t max_bytes_;
  std::uint64_t seed_;
  std::size_t entries_ = 0;
  std::size_t bytes_ = 0;
  std::size_t hand_ = 0;
};

}  // namespace nodeplane::dns

// Layer native. The answers by name, type and flags. One writer (the thread of JavaScript), any number of readers that
// never wait: slots are atomic pointers to immutable entries; what was taken out is freed once every reader has been seen
// outside of a batch (quiescent states). An entry names up to four tags; when a tag's generation moves on, the entry is
// void at once. Memory is bounded: over the limit, entries that were not asked for lately go.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "dns_entry.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kTags = 65536;
inline constexpr std::size_t kMaxReaders = 128;

class Table {
 public:
  Table(std::size_t max_bytes, std::uint64_t seed);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  ~Table();

  // Readers. Between enter() and leave() what find() gave is valid.
  [[nodiscard]] int add_reader();
  void remove_reader(int reader);
  void enter(int reader);
  void leave(int reader);
  /// The entry for the query, valid now; null when there is none.
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
  struct Retired {
    std::uint64_t epoch;
    EntryPointer entry;
    std::unique_ptr<Sets> sets;
  };
  struct alignas(64) Reader {
    std::atomic<std::uint64_t> seen{kIdle};
    std::atomic<bool> taken{false};
  };
  static constexpr std::uint64_t kIdle = ~0ULL;

  [[nodiscard]] bool is_valid(const Entry& entry, std::int64_t now_ms) const;
  [[nodiscard]] std::uint64_t hash(const std::uint8_t* name, std::size_t bytes, std::uint32_t rest) const;
  [[nodiscard]] const Entry* look(const std::uint8_t* name, const Query& query, std::uint8_t listener,
                                  std::uint8_t flags) const;
  void take_out(std::atomic<std::uint64_t>& slot);
  void put(Sets& sets, Entry* entry);
  void grow();
  void make_room();
  void retire(Retired retired);
  void reclaim();

  std::atomic<Sets*> sets_;
  std::unique_ptr<std::array<std::atomic<std::uint32_t>, kTags>> generations_;
  std::array<Reader, kMaxReaders> readers_{};
  std::atomic<std::uint64_t> epoch_{1};
  std::atomic<std::uint32_t> serial_{0};
  std::deque<Retired> retired_;
  std::size_t max_bytes_;
  std::uint64_t seed_;
  std::size_t entries_ = 0;
  std::size_t bytes_ = 0;
  std::size_t hand_ = 0;
};

}  // namespace nodeplane::dns

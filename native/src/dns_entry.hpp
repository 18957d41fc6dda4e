// Layer native. One answer: the octets of a whole reply as the plugin chain wrote them, and what has to be adapted when it
// is sent (identifier, spelling, OPT, TTLs that run down, serial, order of addresses). Immutable once published.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "dns_query.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kMaxTags = 4;
inline constexpr std::size_t kCounterSlots = 512;

struct Entry {
  std::uint64_t hash;
  /// TTLs are those of this moment; 0: they do not run down. Milliseconds since the epoch.
  std::int64_t base_ms;
  /// 0: does not expire.
  std::int64_t expires_ms;
  std::uint32_t generations[kMaxTags];
  std::uint16_t tags[kMaxTags];
  std::uint16_t type;
  std::uint16_t counter;
  std::uint16_t image_bytes;
  /// Offsets into the image; 0: none.
  std::uint16_t serial_at;
  std::uint16_t rotate_at;
  std::uint16_t rotate_count;
  std::uint8_t rotate_stride;
  std::uint8_t ttl_count;
  std::uint8_t tag_count;
  std::uint8_t listener;
  std::uint8_t key_flags;
  std::uint8_t name_bytes;
  /// Set by readers: second chance when room is needed.
  mutable std::atomic<std::uint8_t> used;

  // Behind the struct: ttl_count offsets (two octets, host order), then the image.
  [[nodiscard]] const std::uint16_t* ttls() const { return reinterpret_cast<const std::uint16_t*>(this + 1); }
  [[nodiscard]] const std::uint8_t* image() const { return reinterpret_cast<const std::uint8_t*>(ttls() + ttl_count); }
  [[nodiscard]] const std::uint8_t* name() const { return image() + kHeaderBytes; }
  [[nodiscard]] std::size_t bytes() const { return sizeof(Entry) + 2U * ttl_count + image_bytes; }
};

struct FreeEntry {
  void operator()(Entry* entry) const {
    entry->~Entry();
    std::free(entry);
  }
};
using EntryPointer = std::unique_ptr<Entry, FreeEntry>;

/// Octets before the TTL offsets and the image in what JavaScript publishes; the layout stands in dns_entry.cpp.
inline constexpr std::size_t kRecordBytes = 64;

/// Builds an entry (without hash); null when any offset, length or count of the record is wrong.
EntryPointer read_entry(std::span<const std::uint8_t> record);

inline constexpr std::size_t kMaxStride = 64;
/// Fisher-Yates over records of equal size (at most kMaxStride octets) whose owner is the question.
void shuffle(std::uint8_t* at, std::size_t count, std::size_t stride, std::uint64_t& random);
/// Our OPT record: kOptBytes octets.
void write_opt(std::uint8_t* at, bool dnssec_ok);

struct Moment {
  std::int64_t now_ms;
  std::uint32_t serial;
};

/// Writes the reply for `query` into `out` (at least kMaxUdp octets). @returns its size, 0 when it does not fit the client.
std::size_t build_reply(const Entry& entry, const Query& query, const Moment& moment, std::uint64_t& random,
                        std::uint8_t* out);

}  // namespace nodeplane::dns

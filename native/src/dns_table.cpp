// Layer native. See dns_table.hpp.
#include "dns_table.hpp"

#include <cstring>

#include "dns_hash.hpp"

namespace nodeplane::dns {
namespace {

constexpr std::size_t kFirstSets = 256;
constexpr std::size_t kMaxSets = 1U << 18;
/// Slots for each entry: with a quarter in use, one set in 4,000 is too small for its eight places.
constexpr std::size_t kSlack = 4;

// A slot holds a pointer in its lower 48 bits (user addresses need no more) and 16 bits of the hash above.
std::uint64_t pack(const Entry* entry) {
  return reinterpret_cast<std::uint64_t>(entry) | ((entry->hash >> 48) << 48);
}
Entry* unpack(std::uint64_t slot) { return reinterpret_cast<Entry*>(slot & 0x0000ffffffffffffULL); }

std::uint32_t rest_of_key(std::uint16_t type, std::uint8_t flags, std::uint8_t listener) {
  return (static_cast<std::uint32_t>(type) << 16) | (static_cast<std::uint32_t>(flags) << 8) | listener;
}

}  // namespace

Table::Table(Epochs& epochs, std::size_t max_bytes, std::uint64_t seed)
    : epochs_(epochs),
      sets_(new Sets(kFirstSets)),
      generations_(std::make_unique<std::array<std::atomic<std::uint32_t>, kTags>>()),
      max_bytes_(max_bytes),
      seed_(seed) {}

/// No reader is left by then.
Table::~Table() {
  Sets* sets = sets_.load();
  for (Set& set : sets->sets) {
    for (auto& slot : set.slots) {
      if (Entry* entry = unpack(slot.load(std::memory_order_relaxed)); entry != nullptr) FreeEntry{}(entry);
    }
  }
  delete sets;
}

bool Table::is_valid(const Entry& entry, std::int64_t now_ms) const {
  if (entry.expires_ms != 0 && now_ms >= entry.expires_ms) return false;
  for (std::size_t i = 0; i < entry.tag_count; i++) {
    if ((*generations_)[entry.tags[i]].load(std::memory_order_acquire) != entry.generations[i]) return false;
  }
  return true;
}

const Entry* Table::look(const std::uint8_t* name, const Query& query, std::uint8_t listener,
                         std::uint8_t flags) const {
  const std::uint64_t wanted = hash_octets(seed_, name, query.name_bytes, rest_of_key(query.type, flags, listener));
  const Sets* sets = sets_.load(std::memory_order_acquire);
  for (const auto& slot : sets->sets[wanted & sets->mask].slots) {
    const std::uint64_t value = slot.load(std::memory_order_acquire);
    if (value == 0 || (value >> 48) != (wanted >> 48)) continue;
    const Entry* entry = unpack(value);
    if (entry->hash == wanted && entry->type == query.type && entry->key_flags == flags &&
        entry->listener == listener && entry->name_bytes == query.name_bytes &&
        std::memcmp(entry->name(), name, query.name_bytes) == 0) {
      return entry;
    }
  }
  return nullptr;
}

const Entry* Table::find(const Query& query, std::uint8_t listener, std::int64_t now_ms) const {
  const Entry* entry = look(query.lower.data(), query, listener, query.key_flags);
  if (entry == nullptr || !is_valid(*entry, now_ms)) {
    entry = look(query.name, query, listener, static_cast<std::uint8_t>(query.key_flags | kExact));
    if (entry == nullptr || !is_valid(*entry, now_ms)) return nullptr;
  }
  if (entry->used.load(std::memory_order_relaxed) == 0) entry->used.store(1, std::memory_order_relaxed);
  return entry;
}

void Table::set_generation(std::uint16_t tag, std::uint32_t generation) {
  (*generations_)[tag].store(generation, std::memory_order_release);
}

void Table::publish(EntryPointer entry) {
  const std::uint32_t rest = rest_of_key(entry->type, entry->key_flags, entry->listener);
  entry->hash = hash_octets(seed_, entry->name(), entry->name_bytes, rest);
  if (unpack(pack(entry.get())) != entry.get()) return;
  bytes_ += entry->bytes();
  entries_++;
  Sets* sets = sets_.load(std::memory_order_relaxed);
  if (entries_ * kSlack > sets->sets.size() * kWays && sets->sets.size() < kMaxSets) grow();
  put(*sets_.load(std::memory_order_relaxed), entry.release());
  if (bytes_ > max_bytes_) make_room();
  epochs_.reclaim();
}

/// Into the place of an entry with the same key, an empty one, or that of the entry least worth keeping.
void Table::put(Sets& sets, Entry* entry) {
  auto& slots = sets.sets[entry->hash & sets.mask].slots;
  std::atomic<std::uint64_t>* place = nullptr;
  for (auto& slot : slots) {
    const Entry* known = unpack(slot.load(std::memory_order_relaxed));
    if (known != nullptr && known->hash == entry->hash) {
      place = &slot;
      break;
    }
    if (known == nullptr && place == nullptr) place = &slot;
  }
  if (place == nullptr) {
    for (auto& slot : slots) {
      const Entry* known = unpack(slot.load(std::memory_order_relaxed));
      if (known->used.exchange(0, std::memory_order_relaxed) == 0) {
        place = &slot;
        break;
      }
    }
  }
  if (place == nullptr) place = &slots[entry->hash >> 61];
  take_out(*place);
  place->store(pack(entry), std::memory_order_release);
}

void Table::take_out(std::atomic<std::uint64_t>& slot) {
  Entry* known = unpack(slot.load(std::memory_order_relaxed));
  if (known == nullptr) return;
  slot.store(0, std::memory_order_release);
  bytes_ -= known->bytes();
  entries_--;
  epochs_.retire(EntryPointer(known));
}

/// Readers go on in the old array until they look again; entries are in both meanwhile.
void Table::grow() {
  Sets* old = sets_.load(std::memory_order_relaxed);
  auto next = std::make_unique<Sets>(old->sets.size() * 2);
  for (Set& set : old->sets) {
    for (auto& slot : set.slots) {
      // Twice the sets: what shared one of eight places finds one of eight again.
      if (Entry* entry = unpack(slot.load(std::memory_order_relaxed)); entry != nullptr) put(*next, entry);
    }
  }
  sets_.store(next.release(), std::memory_order_release);
  epochs_.retire(std::unique_ptr<Sets>(old));
}

/// Clock: the hand takes out what was not asked for since it came by last, two rounds at most.
void Table::make_room() {
  Sets* sets = sets_.load(std::memory_order_relaxed);
  for (std::size_t step = 0; step < sets->sets.size() * 2 && bytes_ > max_bytes_; step++) {
    for (auto& slot : sets->sets[hand_++ & sets->mask].slots) {
      const Entry* entry = unpack(slot.load(std::memory_order_relaxed));
      if (entry != nullptr && entry->used.exchange(0, std::memory_order_relaxed) == 0) take_out(slot);
    }
  }
}

void Table::flush() {
  Sets* old = sets_.exchange(new Sets(kFirstSets));
  for (Set& set : old->sets) {
    for (auto& slot : set.slots) take_out(slot);
  }
  epochs_.retire(std::unique_ptr<Sets>(old));
  epochs_.reclaim();
}

}  // namespace nodeplane::dns

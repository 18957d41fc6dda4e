// Layer native. See dns_entry.hpp. A record to publish, little-endian:
//  0 listener u8, 1 key flags u8, 2 type u16, 4 counter u16, 6 serial at u16, 8 rotate at u16, 10 rotate count u16,
// 12 rotate stride u8, 13 TTL count u8, 14 tag count u8, 16 base i64, 24 expires i64, 32 tags u16 x 4,
// 40 generations u32 x 4, 56 image octets u16, 64 TTL offsets u16 x count, then the image.
#include "dns_entry.hpp"

#include <cstring>

namespace nodeplane::dns {
namespace {

template <typename T>
T load(std::span<const std::uint8_t> from, std::size_t at) {
  T value{};
  std::memcpy(&value, from.data() + at, sizeof value);
  return value;
}

bool is_sound(const Entry& entry) {
  const std::span<const std::uint8_t> image(entry.image(), entry.image_bytes);
  const std::size_t question = kHeaderBytes + entry.name_bytes + 4U;
  if (image.size() < question || read_u16(&image[4]) != 1) return false;
  if (entry.base_ms < 0 || entry.expires_ms < 0) return false;
  if (read_u16(&image[question - 4]) != entry.type || read_u16(&image[question - 2]) != 1) return false;
  const auto lies_behind = [&](std::size_t at, std::size_t size) {
    return at >= question && at + size <= image.size();
  };
  if (entry.serial_at != 0 && !lies_behind(entry.serial_at, 4)) return false;
  if (entry.rotate_at != 0) {
    if (entry.rotate_stride == 0 || entry.rotate_stride > kMaxStride || entry.rotate_count == 0) return false;
    if (!lies_behind(entry.rotate_at, std::size_t{entry.rotate_count} * entry.rotate_stride)) return false;
  }
  for (std::size_t i = 0; i < entry.ttl_count; i++) {
    if (!lies_behind(entry.ttls()[i], 4)) return false;
  }
  return true;
}

std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

}  // namespace

void shuffle(std::uint8_t* at, std::size_t count, std::size_t stride, std::uint64_t& random) {
  std::uint8_t swap[kMaxStride];
  for (std::size_t i = count - 1; i > 0; i--) {
    const std::size_t j = static_cast<std::size_t>(((next_random(random) >> 32) * (i + 1)) >> 32);
    if (i == j) continue;
    std::memcpy(swap, at + i * stride, stride);
    std::memcpy(at + i * stride, at + j * stride, stride);
    std::memcpy(at + j * stride, swap, stride);
  }
}

void write_opt(std::uint8_t* at, bool dnssec_ok) {
  const std::uint8_t ours[kOptBytes] = {0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, static_cast<std::uint8_t>(dnssec_ok ? 0x80 : 0), 0, 0, 0};
  std::memcpy(at, ours, sizeof ours);
}

EntryPointer read_entry(std::span<const std::uint8_t> record) {
  if (record.size() < kRecordBytes) return nullptr;
  const std::size_t ttl_count = record[13];
  const std::size_t tag_count = record[14];
  const std::size_t image_bytes = load<std::uint16_t>(record, 56);
  if (tag_count > kMaxTags || image_bytes > kMaxUdp) return nullptr;
  if (record.size() != kRecordBytes + 2 * ttl_count + image_bytes) return nullptr;
  const auto image = record.subspan(kRecordBytes + 2 * ttl_count);
  if (image.size() < kHeaderBytes) return nullptr;
  const std::size_t name = name_length(image.subspan(kHeaderBytes));
  if (name == 0 || load<std::uint16_t>(record, 4) >= kCounterSlots || (record[1] & ~31) != 0) return nullptr;
  void* memory = std::malloc(sizeof(Entry) + 2 * ttl_count + image_bytes);
  if (memory == nullptr) return nullptr;
  EntryPointer entry(new (memory) Entry{});
  entry->listener = record[0];
  entry->key_flags = record[1];
  entry->type = load<std::uint16_t>(record, 2);
  entry->counter = load<std::uint16_t>(record, 4);
  entry->serial_at = load<std::uint16_t>(record, 6);
  entry->rotate_at = load<std::uint16_t>(record, 8);
  entry->rotate_count = load<std::uint16_t>(record, 10);
  entry->rotate_stride = record[12];
  entry->ttl_count = static_cast<std::uint8_t>(ttl_count);
  entry->tag_count = static_cast<std::uint8_t>(tag_count);
  entry->base_ms = load<std::int64_t>(record, 16);
  entry->expires_ms = load<std::int64_t>(record, 24);
  std::memcpy(entry->tags, record.data() + 32, sizeof entry->tags);
  std::memcpy(entry->generations, record.data() + 40, sizeof entry->generations);
  entry->image_bytes = static_cast<std::uint16_t>(image_bytes);
  entry->name_bytes = static_cast<std::uint8_t>(name);
  std::memcpy(reinterpret_cast<std::uint8_t*>(entry.get() + 1), record.data() + kRecordBytes, 2 * ttl_count + image_bytes);
  if (!is_sound(*entry)) return nullptr;
  if ((entry->key_flags & kExact) == 0) {
    auto* spelled = const_cast<std::uint8_t*>(entry->name());
    for (std::size_t i = 0; i < name; i++) spelled[i] = lower_octet(spelled[i]);
  }
  return entry;
}

std::size_t build_reply(const Entry& entry, const Query& query, const Moment& moment, std::uint64_t& random,
                        std::uint8_t* out) {
  const std::size_t size = entry.image_bytes + (query.has_edns ? kOptBytes : 0);
  if (size > query.limit || size > kMaxUdp || entry.name_bytes != query.name_bytes) return 0;
  std::memcpy(out, entry.image(), entry.image_bytes);
  write_u16(out, query.id);
  // RD and CD are the client's, the rest the chain's.
  write_u16(out + 2, (read_u16(out + 2) & ~0x0110U) | (query.flags & 0x0110U));
  std::memcpy(out + kHeaderBytes, query.name, query.name_bytes);
  if (entry.serial_at != 0) write_u32(out + entry.serial_at, moment.serial);
  if (entry.base_ms != 0) {
    const std::int64_t age = moment.now_ms > entry.base_ms ? (moment.now_ms - entry.base_ms) / 1000 : 0;
    for (std::size_t i = 0; i < entry.ttl_count; i++) {
      std::uint8_t* at = out + entry.ttls()[i];
      const std::int64_t ttl = read_u32(at);
      write_u32(at, static_cast<std::uint32_t>(ttl > age ? ttl - age : 0));
    }
  }
  if (entry.rotate_at != 0) shuffle(out + entry.rotate_at, entry.rotate_count, entry.rotate_stride, random);
  if (query.has_edns) {
    write_opt(out + entry.image_bytes, query.dnssec_ok);
    write_u16(out + 10, read_u16(out + 10) + 1U);
  }
  return size;
}

}  // namespace nodeplane::dns

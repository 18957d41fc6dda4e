// Layer native. See dns_upstream_reply.hpp. Types are those of RFC 1035, 2782, 3596, 6672 and 6891; all others but a few old
// ones with names inside are octets that nobody has to understand (RFC 3597).
#include "dns_upstream_reply.hpp"

#include <algorithm>
#include <bitset>
#include <cstring>

#include "dns_entry.hpp"
#include "dns_types.hpp"

namespace nodeplane::dns {
namespace {

constexpr std::uint16_t kQr = 0x8000;
constexpr std::uint16_t kOpcode = 0x7800;
constexpr std::uint16_t kTruncated = 0x0200;
constexpr std::size_t kFixed = 10;
constexpr std::size_t kMaxLabels = 128;

/// Names, texts or options inside that the chain checks or writes in another way: MD, MF, MB, MG, MR, HINFO, MINFO, RP,
/// AFSDB, RT, NAPTR, KX, DNAME, SPF, CAA.
bool is_for_chain_to_read(std::uint16_t type) {
  constexpr std::array<std::uint16_t, 15> kTypes = {3, 4, 7, 8, 9, 13, 14, 17, 18, 21, 35, 36, 39, 99, 257};
  for (const std::uint16_t known : kTypes) {
    if (known == type) return true;
  }
  return false;
}

/// Octets of a packet at which a label of a name begins, or its root.
using Starts = std::bitset<kMaxUdp>;

/// Where the labels of a name lie, which may be compressed.
struct Places {
  std::array<std::uint16_t, kMaxLabels> starts;
  std::size_t count = 0;
  std::size_t length = 0;
  bool has_pointer = false;
  /// Of the pointers met.
  std::size_t highest = 0;
};

/// @param known where given, pointers may lead to these starts only, and the name's own are added: octets that are a label's to
///   one name and a length or a pointer to another could not be respelled
/// @returns the offset behind the name at `at`, 0 when it is malformed. Octets from `end` on belong to something else.
std::size_t read_name(std::span<const std::uint8_t> packet, std::size_t at, std::size_t end, Places& out,
                      Starts* known = nullptr) {
  std::size_t behind = 0;
  std::size_t lowest = at;
  out.count = 0;
  out.length = 1;
  out.has_pointer = false;
  out.highest = 0;
  while (at < end) {
    const std::size_t size = packet[at];
    if (known != nullptr && size < 0xc0) known->set(at);
    if (size == 0) return behind == 0 ? at + 1 : behind;
    if (size >= 0xc0) {
      if (at + 1 >= end) return 0;
      const std::size_t target = ((size & 0x3f) << 8) | packet[at + 1];
      if (target >= lowest || target < kHeaderBytes) return 0;
      if (known != nullptr && !known->test(target)) return 0;
      if (behind == 0) behind = at + 2;
      out.has_pointer = true;
      out.highest = std::max(out.highest, target);
      lowest = target;
      at = target;
      end = packet.size();
      continue;
    }
    out.length += size + 1;
    if (size > 63 || out.length > kMaxName || at + 1 + size > end || out.count == kMaxLabels) return 0;
    out.starts[out.count++] = static_cast<std::uint16_t>(at);
    at += size + 1;
  }
  return 0;
}

struct Record {
  std::size_t at = 0;
  std::size_t fixed = 0;
  std::uint16_t type = 0;
  std::size_t data = 0;
  std::size_t end = 0;
  /// Where the farthest pointer of its names leads.
  std::size_t highest = 0;
};

bool read_record(std::span<const std::uint8_t> packet, std::size_t at, Record& out, Starts* known = nullptr) {
  Places owner;
  out.at = at;
  out.fixed = read_name(packet, at, packet.size(), owner, known);
  if (out.fixed == 0 || packet.size() - out.fixed < kFixed) return false;
  out.type = read_u16(&packet[out.fixed]);
  out.highest = owner.highest;
  out.data = out.fixed + kFixed;
  out.end = out.data + read_u16(&packet[out.fixed + 8]);
  return out.end <= packet.size();
}

/// Calls `visit(places)` for each name in the data. @returns false when the data is malformed, or odd
template <typename Visit>
bool each_name(std::span<const std::uint8_t> packet, const Record& record, Starts* known, Visit visit) {
  Places places;
  const auto name = [&](std::size_t at) {
    const std::size_t behind = read_name(packet, at, record.end, places, known);
    if (behind != 0) visit(places);
    return behind;
  };
  switch (record.type) {
    case kNs:
    case kCname:
    case kPtr:
      return name(record.data) == record.end;
    case kMx:
      return record.end - record.data >= 3 && name(record.data + 2) == record.end;
    case kSoa: {
      const std::size_t second = name(record.data);
      if (second == 0 || second >= record.end) return false;
      const std::size_t behind = name(second);
      return behind != 0 && behind + 20 == record.end;
    }
    case kSrv:
      // The chain writes targets in full: RFC 2782.
      return record.end - record.data >= 7 && name(record.data + 6) == record.end && !places.has_pointer;
    default:
      return true;
  }
}

bool has_good_data(std::span<const std::uint8_t> packet, Record& record, Starts& known) {
  if (read_u16(&packet[record.fixed + 2]) != 1 || record.data == record.end) return false;
  if (record.type == kA) return record.end - record.data == 4;
  if (record.type == kAaaa) return record.end - record.data == 16;
  if (record.type == kTxt) {
    std::size_t at = record.data;
    while (at < record.end) at += packet[at] + 1U;
    return at == record.end;
  }
  return !is_for_chain_to_read(record.type) &&
         each_name(packet, record, &known, [&record](const Places& places) {
           record.highest = std::max(record.highest, places.highest);
         });
}

/// The addresses to shuffle, as the chain's `loadbalance` finds them.
struct Rotation {
  std::size_t moved = 0;
  bool is_soa = false;
  bool is_odd = false;
  std::size_t stride = 0;
  std::size_t at = 0;

  void add(std::span<const std::uint8_t> packet, const Record& record, bool is_first) {
    if (is_first && record.type == kSoa) is_soa = true;
    // Nothing may point to what changes its place.
    if (moved > 0 && record.highest >= at) is_odd = true;
    const bool is_address = record.type == kA || record.type == kAaaa;
    if (!is_address && record.type != kMx) {
      // Addresses come last: behind one of them no other record stays where it is.
      if (moved > 0) is_odd = true;
      return;
    }
    const std::size_t size = record.end - record.at;
    if (moved++ == 0) {
      at = record.at;
      stride = size;
    }
    if (!is_address || size != stride || size > kMaxStride || packet[record.at] < 0xc0) is_odd = true;
  }
};

}  // namespace

Match match_reply(std::span<const std::uint8_t> packet, const Sent& sent) {
  if (packet.size() < kHeaderBytes || read_u16(&packet[0]) != sent.id) return Match::kForeign;
  if ((read_u16(&packet[2]) & kQr) == 0) return Match::kForeign;
  const std::size_t questions = read_u16(&packet[4]);
  // Who understood nothing of a query may leave its question out.
  if (questions == 0) return (packet[3] & 15) != 0 ? Match::kOurs : Match::kForeign;
  const std::size_t size = sent.name.size();
  if (packet.size() < kHeaderBytes + size + 4) return Match::kForeign;
  const auto name = packet.subspan(kHeaderBytes, size);
  bool is_exact = true;
  for (std::size_t i = 0; i < size; i++) {
    if (name[i] == sent.name[i]) continue;
    is_exact = false;
    if (lower_octet(name[i]) != lower_octet(sent.name[i])) return Match::kForeign;
  }
  const auto tail = packet.subspan(kHeaderBytes + size, 4);
  if (read_u16(&tail[0]) != sent.type || read_u16(&tail[2]) != 1) return Match::kForeign;
  return is_exact ? Match::kOurs : Match::kOtherSpelling;
}

bool read_reply(std::span<std::uint8_t> packet, const Sent& sent, UpstreamReply& out) {
  out = {};
  const std::size_t question = kHeaderBytes + sent.name.size() + 4;
  if (packet.size() < question || packet.size() > kMaxUdp || read_u16(&packet[4]) != 1) return false;
  const std::uint16_t flags = read_u16(&packet[2]);
  if ((flags & (kOpcode | kTruncated)) != 0) return false;
  out.rcode = static_cast<std::uint8_t>(flags & 15);
  const std::size_t answers = read_u16(&packet[6]);
  const std::size_t before = answers + read_u16(&packet[8]);
  const std::size_t all = before + read_u16(&packet[10]);
  out.additionals = read_u16(&packet[10]);
  Starts known;
  Places asked;
  if (read_name(packet, kHeaderBytes, question - 4, asked, &known) != question - 4) return false;
  std::size_t at = question;
  Rotation rotation;
  bool has_opt = false;
  for (std::size_t i = 0; i < all; i++) {
    Record record;
    if (has_opt || !read_record(packet, at, record, &known)) return false;
    if (record.type == kOpt) {
      // Of the root, version 0, no more of the code, and the last record.
      if (i < before || record.fixed != at + 1 || read_u16(&packet[record.fixed + 4]) != 0) return false;
      has_opt = true;
      out.bytes = at;
      out.additionals--;
      at = record.end;
      continue;
    }
    if (!has_good_data(packet, record, known)) return false;
    std::uint8_t* ttl = &packet[record.fixed + 4];
    if ((ttl[0] & 0x80) != 0) write_u32(ttl, 0);
    if (i < answers) rotation.add(packet, record, i == 0);
    if (i >= answers && rotation.moved > 0 && record.highest >= rotation.at) rotation.is_odd = true;
    at = record.end;
  }
  if (at != packet.size()) return false;
  if (!has_opt) out.bytes = at;
  if (rotation.moved > 1 && !rotation.is_soa) {
    out.shuffles_oddly = rotation.is_odd;
    if (!rotation.is_odd) {
      out.rotate_at = rotation.at;
      out.rotate_count = rotation.moved;
      out.rotate_stride = rotation.stride;
    }
  }
  return true;
}

void respell(std::span<std::uint8_t> packet, const UpstreamReply& reply, std::span<const std::uint8_t> sent,
             std::span<const std::uint8_t> name) {
  if (sent.size() != name.size() || std::memcmp(sent.data(), name.data(), name.size()) == 0) return;
  const auto question = packet.subspan(kHeaderBytes, name.size());
  // Labels left of the question's own, from the right: what is the same up to there, is the question's.
  Places asked;
  if (read_name(sent, 0, sent.size(), asked) != sent.size()) return;
  const auto fix = [&](const Places& found) {
    for (std::size_t i = 1; i <= found.count && i <= asked.count; i++) {
      const std::size_t there = found.starts[found.count - i];
      const std::size_t mine = asked.starts[asked.count - i];
      const std::size_t size = sent[mine] + 1U;
      // In the question itself nothing was changed yet.
      if (std::memcmp(&packet[there], &sent[mine], size) != 0) {
        // Already done by way of another name that shares the place.
        if (std::memcmp(&packet[there], &name[mine], size) != 0) return;
      } else if (there >= kHeaderBytes + name.size()) {
        std::memcpy(&packet[there], &name[mine], size);
      }
    }
  };
  std::size_t at = kHeaderBytes + name.size() + 4;
  while (at < reply.bytes) {
    Record record;
    Places owner;
    if (!read_record(packet, at, record) || read_name(packet, at, packet.size(), owner) == 0) break;
    fix(owner);
    (void)each_name(packet, record, nullptr, fix);
    at = record.end;
  }
  std::memcpy(question.data(), name.data(), name.size());
}

std::size_t adapt_reply(std::uint8_t* packet, std::size_t room, const UpstreamReply& reply, const Query& query) {
  const std::size_t size = reply.bytes + (query.has_edns ? kOptBytes : 0);
  if (size > query.limit || size > room || size > kMaxUdp) return 0;
  write_u16(packet, query.id);
  // QR, AA and AD of the upstream, RA of ours; RD and CD are the client's.
  const unsigned kept = read_u16(packet + 2) & 0x0420U;
  write_u16(packet + 2, 0x8080U | kept | (query.flags & 0x0110U) | reply.rcode);
  write_u16(packet + 10, reply.additionals + (query.has_edns ? 1U : 0U));
  if (query.has_edns) write_opt(packet + reply.bytes, query.dnssec_ok);
  return size;
}

}  // namespace nodeplane::dns

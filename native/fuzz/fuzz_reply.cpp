// Fuzz target of forwarding (libFuzzer, ASan, UBSan): what an upstream sends for a question. Input: the client's query, the
// upstream's packet, each behind two octets of its length; then octets that decide about letters. Where the packet is no reply
// to the question its head and question are made so, which a fuzzer would hardly guess. Checks what every client must get:
// its identifier and question, a size that it takes, records that are whole, OPT only where it has EDNS.
#include "../src/dns_forward_plan.hpp"
#include "../src/dns_upstream_reply.hpp"
#include "../src/dns_entry.hpp"
#include "fuzz_input.hpp"

using namespace nodeplane::dns;

namespace {

constexpr std::size_t kRoom = kMaxUdp + 64;

/// Name in other letters: what goes upstream.
void mix(std::uint8_t* name, std::size_t bytes, std::span<const std::uint8_t> letters) {
  for (std::size_t i = 0; i < bytes; i++) {
    const std::uint8_t folded = lower_octet(name[i]);
    if (folded < 'a' || folded > 'z' || letters.empty()) continue;
    name[i] = (letters[i % letters.size()] & 1) != 0 ? folded : static_cast<std::uint8_t>(folded - 32);
  }
}

void check_records(std::span<const std::uint8_t> reply, std::size_t question) {
  std::size_t at = question;
  const std::size_t records = read_u16(&reply[6]) + read_u16(&reply[8]) + std::size_t{read_u16(&reply[10])};
  for (std::size_t i = 0; i < records; i++) {
    at = skip_name(reply, at);
    check(at + 10 <= reply.size());
    const std::size_t end = at + 10 + read_u16(&reply[at + 8]);
    check(end <= reply.size());
    at = end;
  }
  check(at == reply.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::uint8_t> rest(data, size);
  const Heap asked(cut(rest));
  const Heap heard(cut(rest));
  Reader reader(rest);
  (void)read_forward_plan(reader);
  Query query;
  if (!parse_query(asked.span(), query) || heard.size < kHeaderBytes || heard.size > kMaxUdp) return 0;
  std::array<std::uint8_t, kMaxName + 1> sent_name;
  std::memcpy(sent_name.data(), query.name, query.name_bytes);
  mix(sent_name.data(), query.name_bytes, rest);
  const Sent sent{query.id, {sent_name.data(), query.name_bytes}, query.type};
  // As it is, no longer than it is.
  (void)match_reply(heard.span(), sent);
  std::unique_ptr<std::uint8_t[]> room(new std::uint8_t[kRoom]);
  std::memcpy(room.get(), heard.bytes.get(), heard.size);
  const std::size_t question = kHeaderBytes + query.name_bytes + 4;
  if (heard.size >= question) {
    write_u16(room.get(), query.id);
    write_u16(room.get() + 2, (read_u16(room.get() + 2) | 0x8000U) & ~0x7a00U);
    write_u16(room.get() + 4, 1);
    std::memcpy(room.get() + kHeaderBytes, sent_name.data(), query.name_bytes);
    write_u16(room.get() + question - 4, query.type);
    write_u16(room.get() + question - 2, 1);
  }
  // Reads behind the packet are seen: a copy of its own size is read first.
  const Heap exact({room.get(), heard.size});
  UpstreamReply reply;
  if (match_reply(exact.span(), sent) != Match::kOurs || heard.size < question) return 0;
  if (!read_reply({exact.bytes.get(), exact.size}, sent, reply)) return 0;
  check(reply.bytes >= question && reply.bytes <= exact.size);
  std::memcpy(room.get(), exact.bytes.get(), exact.size);
  respell({room.get(), exact.size}, reply, sent.name, {query.name, query.name_bytes});
  std::uint64_t random = 88172645463325252ULL;
  if (reply.rotate_count > 1) {
    check(reply.rotate_at >= question && reply.rotate_at + reply.rotate_count * reply.rotate_stride <= reply.bytes);
    shuffle(room.get() + reply.rotate_at, reply.rotate_count, reply.rotate_stride, random);
  }
  const std::size_t bytes = adapt_reply(room.get(), kRoom, reply, query);
  if (bytes == 0) return 0;
  const std::span<const std::uint8_t> out(room.get(), bytes);
  check(bytes <= query.limit && bytes <= kMaxUdp && read_u16(&out[0]) == query.id && (out[2] & 0x80) != 0);
  check(std::memcmp(&out[kHeaderBytes], query.name, query.name_bytes) == 0);
  check_records(out, question);
  return 0;
}

// Fuzz target of the DNS engine (libFuzzer, ASan, UBSan): a record to publish, then packets against the table. Input:
// octets of record length (2, little-endian), record, then packets each with a length octet pair. Checks what a reply must
// hold: size within the client's limit, identifier and question those of the query.
#include "../src/dns_table.hpp"
#include "fuzz_input.hpp"

using namespace nodeplane::dns;

namespace {

void answer(const Entry& entry, const Query& query, std::span<const std::uint8_t> packet, std::int64_t now_ms) {
  std::unique_ptr<std::uint8_t[]> out(new std::uint8_t[kMaxUdp]);
  std::uint64_t random = 88172645463325252ULL;
  const std::size_t size = build_reply(entry, query, {now_ms, 7}, random, out.get());
  if (size == 0) return;
  check(size <= query.limit && size <= kMaxUdp);
  check(std::memcmp(out.get(), packet.data(), 2) == 0);
  check(std::memcmp(out.get() + kHeaderBytes, packet.data() + kHeaderBytes, query.name_bytes) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::uint8_t> rest(data, size);
  // As small as 4 KB, so that entries push each other out.
  Epochs epochs;
  Table table(epochs, 4096, 42);
  const int reader = epochs.add_reader();
  std::int64_t now_ms = 1'000'000;
  for (int step = 0; step < 32 && !rest.empty(); step++) {
    const Heap part(cut(rest));
    if (part.size >= kRecordBytes && (part.size > 256 || part.bytes[15] == 'R')) {
      EntryPointer entry = read_entry(part.span());
      if (entry == nullptr) continue;
      // Whatever was accepted can be asked for.
      Query query;
      query.name = entry->name();
      query.name_bytes = entry->name_bytes;
      for (std::size_t i = 0; i < query.name_bytes; i++) query.lower[i] = lower_octet(query.name[i]);
      query.type = entry->type;
      query.limit = kMaxUdp;
      query.has_edns = true;
      std::uint8_t packet[kHeaderBytes + kMaxName + 1] = {};
      std::memcpy(packet + kHeaderBytes, query.name, query.name_bytes);
      query.name = packet + kHeaderBytes;
      answer(*entry, query, packet, now_ms);
      table.publish(std::move(entry));
      continue;
    }
    Query query;
    if (!parse_query(part.span(), query)) {
      if (part.size == 3) table.set_generation(static_cast<std::uint16_t>(part.bytes[0]), part.bytes[1]);
      if (part.size == 4) table.flush();
      now_ms += 1500;
      continue;
    }
    check(query.name_bytes <= kMaxName && query.limit >= kMinUdp && query.limit <= kMaxUdp);
    epochs.enter(reader);
    if (const Entry* entry = table.find(query, 0, now_ms); entry != nullptr) answer(*entry, query, part.span(), now_ms);
    epochs.leave(reader);
  }
  return 0;
}

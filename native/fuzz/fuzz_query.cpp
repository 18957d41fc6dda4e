// Fuzz target of the parser (libFuzzer, ASan, UBSan): one packet. What it accepts must hold what dns_query.hpp promises, and
// mean the same when it is read a second time from a copy.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../src/dns_query.hpp"

using namespace nodeplane::dns;

namespace {

void check(bool is_good) {
  if (!is_good) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // On the heap and no longer than it is, so that reads behind the end are seen.
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[size]);
  if (size > 0) std::memcpy(copy.get(), data, size);
  const std::span<const std::uint8_t> packet(copy.get(), size);
  check(name_length(packet) <= kMaxName);
  Query query;
  if (!parse_query(packet, query)) return 0;
  check(size >= kHeaderBytes + query.name_bytes + 4 && query.name_bytes >= 1 && query.name_bytes <= kMaxName);
  check(query.name == packet.data() + kHeaderBytes && query.name[query.name_bytes - 1] == 0);
  check(name_length({query.name, query.name_bytes}) == query.name_bytes);
  check(query.limit >= kMinUdp && query.limit <= kMaxUdp && (query.has_edns || query.limit == kMinUdp));
  check(query.has_edns || !query.dnssec_ok);
  check((query.key_flags & ~(kRecursion | kChecking | kAuthentic | kDnssec)) == 0);
  for (std::size_t i = 0; i < query.name_bytes; i++) {
    check(query.lower[i] == query.name[i] || (query.name[i] >= 'A' && query.name[i] <= 'Z' && query.lower[i] == query.name[i] + 32));
  }
  Query again;
  check(parse_query({data, size}, again) && again.name_bytes == query.name_bytes && again.type == query.type &&
        again.key_flags == query.key_flags && again.limit == query.limit &&
        std::memcmp(again.lower.data(), query.lower.data(), query.name_bytes) == 0);
  return 0;
}

// Fuzz target of the engine's names (libFuzzer, ASan, UBSan): configurations, names and packets in any order. Input: parts,
// each behind two octets of length (fuzz_input.hpp); the first octet of a part says what it is: C a configuration, N a name,
// R the key of a name that goes, V a view that is forgotten, anything else a packet without that octet. Every reply must be
// whole and well-formed.
#include "../src/dns_answer.hpp"
#include "fuzz_input.hpp"

using namespace nodeplane::dns;

namespace {

constexpr std::uint8_t kView = 1;

void put_zone(std::vector<std::uint8_t>& record, std::string_view wire) {
  record.push_back(static_cast<std::uint8_t>(wire.size()));
  record.insert(record.end(), wire.begin(), wire.end());
}

/// As most servers have it: view 1 on listener 0 for `cluster.local` and the reverse trees, pods insecure.
std::unique_ptr<Config> usual() {
  using namespace std::string_view_literals;
  std::vector<std::uint8_t> record = {1, kView, 1, 5, 0, 0, 0};
  put_zone(record, "\7cluster\5local\0"sv);
  record.push_back(3);
  for (const auto zone : {"\7cluster\5local\0"sv, "\7in-addr\4arpa\0"sv, "\3ip6\4arpa\0"sv}) put_zone(record, zone);
  record.insert(record.end(), {0, 1, 0, 0, kView, 3});
  put_zone(record, "\0"sv);
  // Counters of the first slot, and no groups of upstreams.
  record.resize(record.size() + kTypes.size() * 4 + 1);
  auto config = read_config(record);
  check(config != nullptr);
  return config;
}

void ask(const Names& names, std::span<const std::uint8_t> packet, std::uint64_t& random) {
  Query query;
  if (!parse_query(packet, query)) return;
  const std::unique_ptr<std::uint8_t[]> out(new std::uint8_t[kMaxUdp]);
  const Answered answered = answer_from_names(names, query, 0, 7, random, out.get());
  if (answered.bytes > 0) check_reply({out.get(), answered.bytes}, query);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::uint8_t> rest(data, size);
  Epochs epochs;
  Names names(epochs, 64 * 1024, 42);
  const int reader = epochs.add_reader();
  names.configure(usual());
  names.set_on(kView, true);
  std::uint64_t random = 88172645463325252ULL;
  for (int step = 0; step < 64 && !rest.empty(); step++) {
    const Heap part(cut(rest));
    if (part.size == 0) continue;
    const auto body = Heap(part.span().subspan(1));
    switch (part.bytes[0]) {
      case 'C':
        if (auto config = read_config(body.span()); config != nullptr) {
          for (const auto& view : config->views) names.set_on(view->id, true);
          names.configure(std::move(config));
        }
        break;
      case 'N':
        if (UnitPointer unit = read_unit(body.span()); unit != nullptr) (void)names.put(std::move(unit));
        break;
      case 'R':
        names.remove(kView, body.span());
        break;
      case 'V':
        names.clear(kView);
        break;
      default:
        epochs.enter(reader);
        ask(names, body.span(), random);
        epochs.leave(reader);
    }
  }
  names.clear(kView);
  return 0;
}

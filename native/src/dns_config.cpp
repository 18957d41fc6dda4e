// Layer native. See dns_config.hpp.
#include "dns_config.hpp"

#include <algorithm>
#include <string_view>

#include "dns_entry.hpp"

namespace nodeplane::dns {
namespace {

/// Reads to the end and not beyond: after the first failure everything is zero and empty.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::span<const std::uint8_t> take(std::size_t count) {
    if (bytes_.size() < count) {
      is_good_ = false;
      bytes_ = {};
      return {};
    }
    const auto part = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return part;
  }
  std::uint8_t u8() {
    const auto part = take(1);
    return part.empty() ? 0 : part[0];
  }
  std::uint16_t u16() {
    const auto low = u8();
    return static_cast<std::uint16_t>(low | (u8() << 8));
  }
  std::uint32_t u32() {
    const std::uint32_t low = u16();
    return low | (static_cast<std::uint32_t>(u16()) << 16);
  }
  Zone zone() {
    const auto part = take(u8());
    Zone zone;
    zone.wire.assign(part.begin(), part.end());
    if (name_length(part) != part.size() || part.empty()) is_good_ = false;
    const std::string_view text(reinterpret_cast<const char*>(part.data()), part.size());
    using namespace std::string_view_literals;
    zone.is_reverse = text.ends_with("\7in-addr\4arpa\0"sv) || text.ends_with("\3ip6\4arpa\0"sv);
    return zone;
  }
  void fail() { is_good_ = false; }
  [[nodiscard]] bool is_good() const { return is_good_; }
  [[nodiscard]] bool is_at_end() const { return is_good_ && bytes_.empty(); }

 private:
  std::span<const std::uint8_t> bytes_;
  bool is_good_ = true;
};

bool is_longer(const Zone& a, const Zone& b) { return a.wire.size() > b.wire.size(); }

std::unique_ptr<View> read_view(Reader& reader) {
  auto view = std::make_unique<View>();
  view->id = reader.u8();
  const std::uint8_t pods = reader.u8();
  if (pods > static_cast<std::uint8_t>(PodMode::kLeft) || view->id == kNoView) reader.fail();
  view->pods = static_cast<PodMode>(pods);
  view->ttl = reader.u32();
  view->primary = reader.zone().wire;
  for (std::size_t left = reader.u8(); left > 0 && reader.is_good(); left--) view->zones.push_back(reader.zone());
  for (std::size_t left = reader.u8(); left > 0 && reader.is_good(); left--) view->fallthrough.push_back(reader.zone());
  std::stable_sort(view->zones.begin(), view->zones.end(), is_longer);
  return view;
}

void read_route(Reader& reader, Config& config) {
  const std::uint8_t listener = reader.u8();
  const std::uint8_t view = reader.u8();
  Route route;
  route.flags = reader.u8();
  route.zone = reader.zone();
  if (view != kNoView) {
    const auto found =
        std::find_if(config.views.begin(), config.views.end(), [&](const auto& known) { return known->id == view; });
    if (found == config.views.end()) return reader.fail();
    route.view = found->get();
    for (auto& slots : route.slots) {
      for (auto& slot : slots) {
        slot = reader.u16();
        if (slot >= kCounterSlots) return reader.fail();
      }
    }
  }
  config.routes[listener].push_back(std::move(route));
}

}  // namespace

std::unique_ptr<Config> read_config(std::span<const std::uint8_t> record) {
  Reader reader(record);
  auto config = std::make_unique<Config>();
  for (std::size_t left = reader.u8(); left > 0 && reader.is_good(); left--) config->views.push_back(read_view(reader));
  for (std::size_t left = reader.u16(); left > 0 && reader.is_good(); left--) read_route(reader, *config);
  for (auto& routes : config->routes) {
    std::stable_sort(routes.begin(), routes.end(),
                     [](const Route& a, const Route& b) { return is_longer(a.zone, b.zone); });
  }
  if (!reader.is_at_end()) return nullptr;
  return config;
}

}  // namespace nodeplane::dns

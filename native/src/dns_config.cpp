// Layer native. See dns_config.hpp.
#include "dns_config.hpp"

#include <algorithm>

#include "dns_entry.hpp"

namespace nodeplane::dns {
namespace {

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
  const auto read_slots = [&](auto& all) {
    for (auto& slots : all) {
      for (auto& slot : slots) {
        slot = reader.u16();
        if (slot >= kCounterSlots) reader.fail();
      }
    }
  };
  if (view != kNoView) {
    const auto found =
        std::find_if(config.views.begin(), config.views.end(), [&](const auto& known) { return known->id == view; });
    if (found == config.views.end()) return reader.fail();
    route.view = found->get();
    read_slots(route.slots);
  }
  if ((route.flags & kForwards) != 0) {
    route.group = reader.u8();
    read_slots(route.forward_slots);
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
  config->plan = read_forward_plan(reader);
  if (!reader.is_at_end()) return nullptr;
  for (const auto& routes : config->routes) {
    for (const Route& route : routes) {
      if ((route.flags & kForwards) != 0 && route.group >= config->plan->groups.size()) return nullptr;
    }
  }
  return config;
}

}  // namespace nodeplane::dns

// Layer native. Which names the engine answers itself, and how: the zones of each listener with their server block, and the
// zones of each `kubernetes` block (a view). Replaced whole by a reload.
//
// Record, little-endian. u8 views, each: id u8, pods u8 (PodMode), TTL u32, primary zone, u8 zones, each: zone;
// u8 fallthrough zones, each: zone. Then u16 routes, each: listener u8, view u8 (kNoView: not the engine's), flags u8
// (RouteFlag), zone, and unless kNoView u16 x kTypes x 2 counter slots (NOERROR, NXDOMAIN); with kForwards then group u8 and
// u16 x kTypes x 3 counter slots (NOERROR, SERVFAIL, NXDOMAIN). Then the groups (dns_forward_plan.hpp). A zone is its length
// u8 and its octets in wire form, lower case, with the root.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dns_forward_plan.hpp"
#include "dns_query.hpp"
#include "dns_reader.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kMaxViews = 256;
inline constexpr std::uint8_t kNoView = 255;
/// Types that have counters of their own; the last is for all others. src/drivers/udp-engine/driver.ts has the same.
inline constexpr std::array<std::uint16_t, 12> kTypes = {1, 28, 33, 12, 5, 16, 6, 65, 15, 2, 64, 0};

enum class PodMode : std::uint8_t { kDisabled = 0, kInsecure = 1, kLeft = 2 };
enum RouteFlag : std::uint8_t { kRecursive = 1, kShuffles = 2, kForwards = 4 };
/// Replies of upstreams that are counted apart.
inline constexpr std::array<std::uint8_t, 3> kForwardRcodes = {0, 2, 3};

struct View {
  std::uint8_t id = 0;
  PodMode pods = PodMode::kDisabled;
  std::uint32_t ttl = 0;
  std::vector<std::uint8_t> primary;
  /// Longest first, so that the first that fits is the right one.
  std::vector<Zone> zones;
  std::vector<Zone> fallthrough;
};

struct Route {
  Zone zone;
  const View* view = nullptr;
  std::uint8_t flags = 0;
  std::array<std::array<std::uint16_t, 2>, kTypes.size()> slots{};
  std::uint8_t group = kNoGroup;
  std::array<std::array<std::uint16_t, kForwardRcodes.size()>, kTypes.size()> forward_slots{};
};

inline std::size_t type_index(std::uint16_t type) {
  std::size_t index = 0;
  while (index + 1 < kTypes.size() && kTypes[index] != type) index++;
  return index;
}

struct Config {
  std::vector<std::unique_ptr<View>> views;
  /// By listener; longest zone first.
  std::array<std::vector<Route>, 256> routes;
  std::shared_ptr<ForwardPlan> plan = std::make_shared<ForwardPlan>();
};

/// @returns null for a malformed record
std::unique_ptr<Config> read_config(std::span<const std::uint8_t> record);

}  // namespace nodeplane::dns

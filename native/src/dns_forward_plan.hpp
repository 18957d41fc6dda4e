// Layer native. Where queries are forwarded to: a group for each `forward` line that the engine does itself, with its
// upstreams. Read with the configuration and replaced with it; the numbers that threads share (health, queries in work)
// live in it, so that queries of a replaced configuration go on with theirs.
//
// Record, little-endian: u8 groups, each: token u32, flags u8 (GroupFlag), policy u8 (Policy), time for a reply u16 (ms),
// attempts u16 (0: no limit), at once u32 (0: no limit), life of a socket u32 (ms), u16 zones, each: zone; u16 zones that are
// left to the chain, each: zone; u8 upstreams, each: counter u8, IP version u8, port u16, address (4 or 16
// octets), u8 whether a source address follows, and it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <vector>

#include "dns_reader.hpp"

namespace nodeplane::dns {

inline constexpr std::size_t kMaxGroups = 32;
inline constexpr std::size_t kMaxGroupUpstreams = 15;
inline constexpr std::size_t kMaxUpstreams = 64;
/// Upstreams that are counted apart.
inline constexpr std::size_t kUpstreamCounters = 32;
inline constexpr std::uint8_t kNoGroup = 255;

enum class Policy : std::uint8_t { kRandom = 0, kRoundRobin = 1, kSequential = 2 };
/// Replies go to the chain, which keeps and changes them.
enum GroupFlag : std::uint8_t { kThroughChain = 1 };
/// What JavaScript says of an upstream.
enum UpstreamBits : std::uint8_t { kDown = 1, kSuspect = 2, kLosesCase = 4 };

struct Upstream {
  sockaddr_storage to{};
  socklen_t to_bytes = 0;
  sockaddr_storage from{};
  bool has_source = false;
  /// Where it is counted.
  std::uint8_t counter = 0;
  /// UpstreamBits
  std::atomic<std::uint8_t> bits{0};
  /// Queries without a reply; replies while it was suspect. They only grow.
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> recovered{0};
};

struct Group {
  std::uint32_t token = 0;
  std::uint8_t flags = 0;
  Policy policy = Policy::kRandom;
  std::uint32_t timeout_ms = 0;
  std::uint32_t attempts = 0;
  std::uint32_t at_once = 0;
  std::uint32_t life_ms = 0;
  std::vector<Zone> zones;
  std::vector<Zone> left;
  /// Of the plan's upstreams.
  std::size_t first = 0;
  std::size_t count = 0;
  std::atomic<bool> is_on{true};
  std::atomic<std::uint32_t> in_work{0};
  std::atomic<std::uint32_t> turn{0};
};

struct ForwardPlan {
  std::vector<std::unique_ptr<Group>> groups;
  std::vector<std::unique_ptr<Upstream>> upstreams;
};

/// Fails the reader for a malformed record.
std::shared_ptr<ForwardPlan> read_forward_plan(Reader& reader);

}  // namespace nodeplane::dns

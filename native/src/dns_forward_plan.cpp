// Layer native. See dns_forward_plan.hpp.
#include "dns_forward_plan.hpp"

#include <cstring>

namespace nodeplane::dns {
namespace {

socklen_t read_address(Reader& reader, int family, std::uint16_t port, sockaddr_storage& into) {
  if (family == AF_INET) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    const auto octets = reader.take(4);
    if (octets.size() == 4) std::memcpy(&address.sin_addr, octets.data(), 4);
    std::memcpy(&into, &address, sizeof address);
    return sizeof address;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  const auto octets = reader.take(16);
  if (octets.size() == 16) std::memcpy(&address.sin6_addr, octets.data(), 16);
  std::memcpy(&into, &address, sizeof address);
  return sizeof address;
}

std::unique_ptr<Upstream> read_upstream(Reader& reader) {
  auto upstream = std::make_unique<Upstream>();
  upstream->counter = reader.u8();
  const std::uint8_t version = reader.u8();
  const std::uint16_t port = reader.u16();
  if (upstream->counter >= kUpstreamCounters || (version != 4 && version != 6) || port == 0) reader.fail();
  const int family = version == 4 ? AF_INET : AF_INET6;
  upstream->to_bytes = read_address(reader, family, port, upstream->to);
  const std::uint8_t source = reader.u8();
  if (source > 1) reader.fail();
  upstream->has_source = source == 1;
  if (upstream->has_source) (void)read_address(reader, family, 0, upstream->from);
  return upstream;
}

std::unique_ptr<Group> read_group(Reader& reader, ForwardPlan& plan) {
  auto group = std::make_unique<Group>();
  group->token = reader.u32();
  group->flags = reader.u8();
  const std::uint8_t policy = reader.u8();
  if (policy > static_cast<std::uint8_t>(Policy::kSequential) || (group->flags & ~kThroughChain) != 0) reader.fail();
  group->policy = static_cast<Policy>(policy);
  group->timeout_ms = reader.u16();
  group->attempts = reader.u16();
  group->at_once = reader.u32();
  group->life_ms = reader.u32();
  for (std::size_t left = reader.u16(); left > 0 && reader.is_good(); left--) group->zones.push_back(reader.zone());
  for (std::size_t left = reader.u16(); left > 0 && reader.is_good(); left--) group->left.push_back(reader.zone());
  group->first = plan.upstreams.size();
  group->count = reader.u8();
  if (group->count == 0 || group->count > kMaxGroupUpstreams || group->timeout_ms == 0) reader.fail();
  for (std::size_t i = 0; i < group->count && reader.is_good(); i++) plan.upstreams.push_back(read_upstream(reader));
  return group;
}

}  // namespace

std::shared_ptr<ForwardPlan> read_forward_plan(Reader& reader) {
  auto plan = std::make_shared<ForwardPlan>();
  const std::size_t groups = reader.u8();
  if (groups > kMaxGroups) reader.fail();
  for (std::size_t i = 0; i < groups && reader.is_good(); i++) plan->groups.push_back(read_group(reader, *plan));
  if (plan->upstreams.size() > kMaxUpstreams) reader.fail();
  return plan;
}

}  // namespace nodeplane::dns

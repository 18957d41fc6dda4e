// Layer native. One name below `svc` (or a namespace) with all that is there, as dns/engine compiled it: the nodes below
// the name with their addresses and SRV records. Immutable; its octets are checked once, when it is read.
//
// Record, little-endian: 0 view u8, 1 kind u8, 2 flags u8, 3 key octets u8, 4 nodes u16, 6 IPv4 addresses u16,
// 8 IPv6 addresses u16, 10 SRV records u16, 12 text octets u32; then nodes (20 octets each), SRV records (4 each), IPv4
// (4 each), IPv6 (16 each), texts. The texts begin with the key: labels in wire form without the root, `name namespace` or
// `namespace`; behind it the target of an alias, then the nodes' own labels. Nodes are in order of length, then octets.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

namespace nodeplane::dns {

enum class UnitKind : std::uint8_t { kNamespace = 0, kService = 1, kAlias = 2, kLeft = 3 };
/// Zones that no node has are answered from `*`.
enum UnitFlag : std::uint8_t { kZonal = 1 };
/// SRV records are left to the chain; the addresses are those of other nodes, whose names they lead back to.
enum NodeFlag : std::uint8_t { kSrvLeft = 1, kNoReverse = 2 };

struct Node {
  std::uint32_t text_at;
  std::uint8_t text_bytes;
  /// NodeFlag
  std::uint8_t flags;
  std::uint8_t weight;
  std::uint8_t pad;
  std::uint16_t v4_at;
  std::uint16_t v4_count;
  std::uint16_t v6_at;
  std::uint16_t v6_count;
  std::uint16_t srv_at;
  std::uint16_t srv_count;
};
static_assert(sizeof(Node) == 20);

/// Port, the node that is the target, and whether it is the first record with that target.
struct Srv {
  std::uint16_t port;
  std::uint16_t target;
  [[nodiscard]] std::size_t node() const { return target & 0x7fffU; }
  [[nodiscard]] bool is_first() const { return (target & 0x8000U) != 0; }
};
static_assert(sizeof(Srv) == 4);

inline constexpr std::size_t kUnitRecordBytes = 16;

struct Unit {
  std::uint64_t hash;
  std::uint8_t view;
  UnitKind kind;
  std::uint8_t flags;
  std::uint8_t key_bytes;
  std::uint16_t node_count;
  std::uint16_t v4_count;
  std::uint16_t v6_count;
  std::uint16_t srv_count;
  std::uint32_t text_bytes;

  [[nodiscard]] const std::uint8_t* body() const { return reinterpret_cast<const std::uint8_t*>(this + 1); }
  [[nodiscard]] std::span<const Node> nodes() const { return {reinterpret_cast<const Node*>(body()), node_count}; }
  [[nodiscard]] std::span<const Srv> srvs() const {
    return {reinterpret_cast<const Srv*>(nodes().data() + node_count), srv_count};
  }
  /// Address `i`: 4 octets.
  [[nodiscard]] const std::uint8_t* v4(std::size_t i) const {
    return reinterpret_cast<const std::uint8_t*>(srvs().data() + srv_count) + 4 * i;
  }
  /// Address `i`: 16 octets.
  [[nodiscard]] const std::uint8_t* v6(std::size_t i) const { return v4(v4_count) + 16 * i; }
  [[nodiscard]] const std::uint8_t* texts() const { return v6(v6_count); }
  [[nodiscard]] std::span<const std::uint8_t> key() const { return {texts(), key_bytes}; }
  /// Of an alias: a whole name in wire form.
  [[nodiscard]] std::span<const std::uint8_t> target() const;
  [[nodiscard]] std::span<const std::uint8_t> text(const Node& node) const {
    return {texts() + node.text_at, node.text_bytes};
  }
  [[nodiscard]] std::size_t bytes() const { return sizeof(Unit) + static_cast<std::size_t>(texts() - body()) + text_bytes; }

  /// The node with these labels (wire form, lower case, no root; empty: the service itself); null when there is none.
  [[nodiscard]] const Node* find(std::span<const std::uint8_t> labels) const;
};

struct FreeUnit {
  void operator()(Unit* unit) const { std::free(unit); }
};
using UnitPointer = std::unique_ptr<Unit, FreeUnit>;

/// Builds a unit (without hash); null when any count, offset, label or the order of nodes is wrong.
UnitPointer read_unit(std::span<const std::uint8_t> record);

}  // namespace nodeplane::dns

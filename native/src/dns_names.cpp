// Layer native. See dns_names.hpp.
#include "dns_names.hpp"

#include <cstring>
#include <vector>

#include "dns_hash.hpp"

namespace nodeplane::dns {
namespace {

constexpr std::uint32_t kAddressKey = 0x100;

bool is_equal(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

Names::Names(Epochs& epochs, std::size_t max_bytes, std::uint64_t seed)
    : epochs_(epochs), config_(new Config{}), units_(epochs), addresses_(epochs), max_bytes_(max_bytes), seed_(seed) {}

/// No reader is left by then.
Names::~Names() {
  units_.each([](Unit* unit) { FreeUnit{}(unit); });
  delete config_.load();
}

std::uint64_t Names::name_hash(std::uint8_t view, std::span<const std::uint8_t> key) const {
  return hash_octets(seed_, key.data(), key.size(), view);
}

std::uint64_t Names::address_hash(std::uint8_t view, std::span<const std::uint8_t> address) const {
  return hash_octets(seed_, address.data(), address.size(), kAddressKey | view);
}

Unit* Names::look(std::uint8_t view, std::span<const std::uint8_t> key) const {
  const std::uint64_t wanted = name_hash(view, key);
  Unit* found = nullptr;
  units_.find(wanted, [&](Unit* unit) {
    if (unit->hash != wanted || unit->view != view || !is_equal(unit->key(), key)) return false;
    found = unit;
    return true;
  });
  return found;
}

const Unit* Names::find(std::uint8_t view, std::span<const std::uint8_t> key) const { return look(view, key); }

/// Addresses that have reverse names; of a unit that is left to the chain all.
template <typename Visit>
void Names::each_address(const Unit& unit, Visit visit) const {
  const auto all = [&](std::size_t v4_at, std::size_t v4_count, std::size_t v6_at, std::size_t v6_count) {
    for (std::size_t i = 0; i < v4_count; i++) visit(address_hash(unit.view, {unit.v4(v4_at + i), 4}));
    for (std::size_t i = 0; i < v6_count; i++) visit(address_hash(unit.view, {unit.v6(v6_at + i), 16}));
  };
  if (unit.kind == UnitKind::kLeft) return all(0, unit.v4_count, 0, unit.v6_count);
  for (const Node& node : unit.nodes()) {
    if ((node.flags & kNoReverse) != 0) continue;
    all(node.v4_at, node.v4_count, node.v6_at, node.v6_count);
  }
}

void Names::add_addresses(const Unit& unit) {
  std::size_t count = 0;
  each_address(unit, [&](std::uint64_t) { count++; });
  addresses_.reserve(count, [&](auto put) {
    units_.each([&](const Unit* known) { each_address(*known, [&](std::uint64_t hash) { put(hash, known); }); });
  });
  each_address(unit, [&](std::uint64_t hash) { addresses_.insert(hash, &unit); });
}

bool Names::put(UnitPointer owned) {
  if (!PointerMap<Unit>::fits(owned.get()) || bytes() + owned->bytes() > max_bytes_) return false;
  owned->hash = name_hash(owned->view, owned->key());
  Unit* unit = owned.release();
  Unit* before = look(unit->view, unit->key());
  bytes_ += unit->bytes();
  add_addresses(*unit);
  if (before == nullptr) {
    units_.reserve(1, [&](auto again) { units_.each([&](const Unit* known) { again(known->hash, known); }); });
    units_.insert(unit->hash, unit);
  } else {
    units_.replace(unit->hash, before, unit);
    drop(before);
  }
  epochs_.reclaim();
  return true;
}

/// Of a unit that is no longer among the names.
void Names::drop(Unit* unit) {
  each_address(*unit, [&](std::uint64_t hash) { addresses_.remove(hash, unit); });
  bytes_ -= unit->bytes();
  epochs_.retire(UnitPointer(unit));
}

void Names::remove(std::uint8_t view, std::span<const std::uint8_t> key) {
  Unit* unit = look(view, key);
  if (unit == nullptr) return;
  units_.remove(unit->hash, unit);
  drop(unit);
  epochs_.reclaim();
}

void Names::clear(std::uint8_t view) {
  std::vector<Unit*> gone;
  units_.each([&](Unit* unit) {
    if (unit->view == view) gone.push_back(unit);
  });
  for (Unit* unit : gone) {
    units_.remove(unit->hash, unit);
    drop(unit);
  }
  epochs_.reclaim();
}

void Names::configure(std::unique_ptr<Config> config) {
  epochs_.retire(std::unique_ptr<Config>(config_.exchange(config.release(), std::memory_order_acq_rel)));
  epochs_.reclaim();
}

}  // namespace nodeplane::dns

// Layer native. The names of clusters: units by view and name, and by address for reverse names. One writer, readers that
// never wait; a unit is replaced whole, so that every answer is of one state of its service. A view that is being filled is
// off: its questions are left to the chain.
#pragma once

#include <array>
#include <atomic>
#include <span>

#include "dns_config.hpp"
#include "dns_pointer_map.hpp"
#include "dns_unit.hpp"

namespace nodeplane::dns {

class Names {
 public:
  Names(Epochs& epochs, std::size_t max_bytes, std::uint64_t seed);
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
  ~Names();

  // Readers, between Epochs::enter() and leave().
  [[nodiscard]] const Config& config() const { return *config_.load(std::memory_order_acquire); }
  [[nodiscard]] bool is_on(std::uint8_t view) const { return on_[view].load(std::memory_order_acquire); }
  /// By labels in wire form without the root; null when there is no such unit.
  [[nodiscard]] const Unit* find(std::uint8_t view, std::span<const std::uint8_t> key) const;
  /// Calls `visit` with each unit of the view that has the address (4 or 16 octets), with some of them more than once.
  template <typename Visit>
  void find_address(std::uint8_t view, std::span<const std::uint8_t> address, Visit visit) const {
    addresses_.find(address_hash(view, address), [&](const Unit* unit) {
      if (unit->view == view) visit(*unit);
      return false;
    });
  }

  // The writer.
  void configure(std::unique_ptr<Config> config);
  void set_on(std::uint8_t view, bool is_on) { on_[view].store(is_on, std::memory_order_release); }
  /// In the place of the unit with the same name. @returns false, and nothing is changed, when there is no room
  bool put(UnitPointer unit);
  void remove(std::uint8_t view, std::span<const std::uint8_t> key);
  /// Forgets all units of a view.
  void clear(std::uint8_t view);
  [[nodiscard]] std::size_t count() const { return units_.size(); }
  /// Of units and of what finds them.
  [[nodiscard]] std::size_t bytes() const { return bytes_ + units_.bytes() + addresses_.bytes(); }

 private:
  [[nodiscard]] std::uint64_t name_hash(std::uint8_t view, std::span<const std::uint8_t> key) const;
  [[nodiscard]] std::uint64_t address_hash(std::uint8_t view, std::span<const std::uint8_t> address) const;
  [[nodiscard]] Unit* look(std::uint8_t view, std::span<const std::uint8_t> key) const;
  template <typename Visit>
  void each_address(const Unit& unit, Visit visit) const;
  void add_addresses(const Unit& unit);
  void drop(Unit* unit);

  Epochs& epochs_;
  std::atomic<Config*> config_;
  std::array<std::atomic<bool>, kMaxViews> on_{};
  PointerMap<Unit> units_;
  PointerMap<Unit> addresses_;
  std::size_t max_bytes_;
  std::uint64_t seed_;
  std::size_t bytes_ = 0;
};

}  // namespace nodeplane::dns

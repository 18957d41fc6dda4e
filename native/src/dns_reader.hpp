// Layer native. Reads numbers and zones from a record that JavaScript wrote: to the end and not beyond; after the first
// failure everything is zero and empty.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dns_query.hpp"

namespace nodeplane::dns {

struct Zone {
  /// Lower case, with the root.
  std::vector<std::uint8_t> wire;
  bool is_reverse = false;
};

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

}  // namespace nodeplane::dns

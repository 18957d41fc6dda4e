// Layer native. A name cut into labels, and its place below a zone. Names are in wire form with the root, already checked
// by name_length().
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "dns_config.hpp"

namespace nodeplane::dns {

struct Labels {
  /// Lower case, with the root.
  std::span<const std::uint8_t> name;
  /// Where labels begin, the root's octet last.
  std::array<std::uint8_t, kMaxName + 1> starts;
  std::size_t count = 0;

  /// @returns false for names that text and wire form do not read alike (a dot or backslash inside a label)
  bool read(std::span<const std::uint8_t> wire) {
    name = wire;
    count = 0;
    for (std::size_t at = 0; at < wire.size(); at += wire[at] + 1U) {
      starts[count++] = static_cast<std::uint8_t>(at);
      for (std::size_t i = at + 1; i <= at + wire[at]; i++) {
        if (wire[i] == '.' || wire[i] == '\\') return false;
      }
    }
    count--;
    return true;
  }

  /// Labels left of the zone; -1 when the name is not within it.
  [[nodiscard]] int below(const Zone& zone) const {
    const std::size_t size = zone.wire.size();
    if (size > name.size() || std::memcmp(name.data() + name.size() - size, zone.wire.data(), size) != 0) return -1;
    const std::size_t at = name.size() - size;
    for (std::size_t i = 0; i <= count && starts[i] <= at; i++) {
      if (starts[i] == at) return static_cast<int>(i);
    }
    return -1;
  }

  /// Octets of label `i` without its length.
  [[nodiscard]] std::span<const std::uint8_t> label(std::size_t i) const {
    return name.subspan(starts[i] + 1U, name[starts[i]]);
  }
  [[nodiscard]] bool is(std::size_t i, const char* text) const {
    const auto own = label(i);
    return own.size() == std::strlen(text) && std::memcmp(own.data(), text, own.size()) == 0;
  }
  /// Labels `from` to before `to` in wire form.
  [[nodiscard]] std::span<const std::uint8_t> part(std::size_t from, std::size_t to) const {
    return name.subspan(starts[from], static_cast<std::size_t>(starts[to] - starts[from]));
  }
};

}  // namespace nodeplane::dns

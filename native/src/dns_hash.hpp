// Layer native. The hash of names and addresses: keyed by a random seed, so that nobody outside can aim at one slot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nodeplane::dns {

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Of `bytes` octets and of `rest`, whatever else belongs to the key.
inline std::uint64_t hash_octets(std::uint64_t seed, const std::uint8_t* octets, std::size_t bytes, std::uint32_t rest) {
  std::uint64_t value = mix(seed ^ rest, 0x9e3779b97f4a7c15ULL ^ bytes);
  while (bytes >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, octets, 8);
    value = mix(value ^ word, 0xd6e8feb86659fd93ULL);
    octets += 8;
    bytes -= 8;
  }
  std::uint64_t word = 0;
  std::memcpy(&word, octets, bytes);
  return mix(value ^ word, 0xa0761d6478bd642fULL ^ seed);
}

}  // namespace nodeplane::dns

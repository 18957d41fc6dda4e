// Layer native. Random numbers that nobody outside can guess: identifiers, letters and choices of sockets (RFC 5452).
#pragma once

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace nodeplane::dns {

/// The system's generator, asked for a kilobyte at a time. Of one thread.
class Random {
 public:
  std::uint16_t u16() {
    if (pool_.size() - at_ < 2) fill();
    std::uint16_t value = 0;
    std::memcpy(&value, &pool_[at_], sizeof value);
    at_ += sizeof value;
    return value;
  }
  /// 0 to before `bound`, which is small.
  std::size_t below(std::size_t bound) { return (std::size_t{u16()} * bound) >> 16; }

 private:
  void fill() {
    std::size_t filled = 0;
    while (filled < pool_.size()) {
      const ssize_t got = ::getrandom(&pool_[filled], pool_.size() - filled, 0);
      // Interrupted only: without randomness nothing may be sent.
      if (got > 0) filled += static_cast<std::size_t>(got);
      if (got < 0 && errno != EINTR) std::abort();
    }
    at_ = 0;
  }

  std::array<std::uint8_t, 1024> pool_{};
  std::size_t at_ = pool_.size();
};

}  // namespace nodeplane::dns

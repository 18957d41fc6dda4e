// Layer native. Packets on their way from the threads to JavaScript; over the limit they are refused.
#pragma once

#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "dns_packet_head.hpp"

namespace nodeplane::dns {

class UpQueue {
 public:
  explicit UpQueue(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  /// `wake` is called when the queue was empty. The parts behind the packet are `head.extra` octets together.
  /// @returns false when there was no room
  template <typename Wake>
  bool push(const PacketHead& head, std::span<const std::uint8_t> packet, Wake& wake,
            std::span<const std::uint8_t> forward = {}, std::span<const std::uint8_t> reply = {}) {
    const std::lock_guard lock(mutex_);
    if (bytes_.size() + sizeof head + packet.size() + forward.size() + reply.size() > max_bytes_) return false;
    const auto* start = reinterpret_cast<const std::uint8_t*>(&head);
    bytes_.insert(bytes_.end(), start, start + sizeof head);
    for (const auto part : {packet, forward, reply}) bytes_.insert(bytes_.end(), part.begin(), part.end());
    if (!awake_) {
      awake_ = true;
      wake();
    }
    return true;
  }
  /// Everything that waits; empty: the next packet wakes again.
  std::vector<std::uint8_t> take() {
    const std::lock_guard lock(mutex_);
    awake_ = !bytes_.empty();
    return std::exchange(bytes_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::uint8_t> bytes_;
  std::size_t max_bytes_;
  bool awake_ = false;
};

}  // namespace nodeplane::dns

// Layer native. See dns_epochs.hpp.
#include "dns_epochs.hpp"

#include <algorithm>

namespace nodeplane::dns {

int Epochs::add_reader() {
  for (std::size_t i = 0; i < readers_.size(); i++) {
    bool expected = false;
    if (readers_[i].taken.compare_exchange_strong(expected, true)) return static_cast<int>(i);
  }
  return -1;
}

void Epochs::remove_reader(int reader) {
  readers_[static_cast<std::size_t>(reader)].seen.store(kIdle);
  readers_[static_cast<std::size_t>(reader)].taken.store(false);
}

void Epochs::enter(int reader) {
  readers_[static_cast<std::size_t>(reader)].seen.store(epoch_.load(std::memory_order_acquire),
                                                        std::memory_order_relaxed);
  // Either the writer sees us, or we see what it took out (its fence stands in retire_erased()).
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Epochs::leave(int reader) {
  readers_[static_cast<std::size_t>(reader)].seen.store(kIdle, std::memory_order_release);
}

void Epochs::retire_erased(void* object, Free free) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint64_t epoch = epoch_.fetch_add(1, std::memory_order_acq_rel) + 1;
  retired_.push_back({epoch, std::unique_ptr<void, Free>(object, free)});
}

void Epochs::reclaim() {
  if (retired_.empty()) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::uint64_t oldest = kIdle;
  for (const Reader& reader : readers_) oldest = std::min(oldest, reader.seen.load(std::memory_order_acquire));
  while (!retired_.empty() && retired_.front().epoch <= oldest) retired_.pop_front();
}

}  // namespace nodeplane::dns

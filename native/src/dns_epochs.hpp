// Layer native. When memory that readers may still look at can be freed: one writer (the thread of JavaScript), readers
// that never wait. A reader says when it enters and leaves a batch; what was taken out is freed once every reader has been
// seen outside of a batch that began before (quiescent states).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

namespace nodeplane::dns {

inline constexpr std::size_t kMaxReaders = 128;

class Epochs {
 public:
  Epochs() = default;
  Epochs(const Epochs&) = delete;
  Epochs& operator=(const Epochs&) = delete;

  /// @returns -1 when there are kMaxReaders
  [[nodiscard]] int add_reader();
  void remove_reader(int reader);
  /// Between enter() and leave() nothing that can be found is freed.
  void enter(int reader);
  void leave(int reader);

  /// The writer: nobody can find it any more.
  template <typename T, typename D>
  void retire(std::unique_ptr<T, D> object) {
    static_assert(sizeof(D) <= sizeof(void*));
    retire_erased(object.release(), [](void* gone) { D{}(static_cast<T*>(gone)); });
  }
  /// The writer: frees what no reader can hold.
  void reclaim();

 private:
  using Free = void (*)(void*);
  struct Retired {
    std::uint64_t epoch;
    std::unique_ptr<void, Free> object;
  };
  struct alignas(64) Reader {
    std::atomic<std::uint64_t> seen{kIdle};
    std::atomic<bool> taken{false};
  };
  static constexpr std::uint64_t kIdle = ~0ULL;

  void retire_erased(void* object, Free free);

  std::array<Reader, kMaxReaders> readers_{};
  std::atomic<std::uint64_t> epoch_{1};
  std::deque<Retired> retired_;
};

}  // namespace nodeplane::dns

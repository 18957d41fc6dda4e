// Layer native. Threads that answer: each has its own SO_REUSEPORT sockets of one listener, reads and writes in batches,
// and sends from the address that was asked. What the table has no answer for goes into a bounded queue.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dns_answer.hpp"
#include "dns_counters.hpp"
#include "dns_names.hpp"
#include "dns_table.hpp"
#include "napi_util.hpp"

namespace nodeplane::dns {

/// Head of a packet between the engine and JavaScript, both ways; the packet follows.
struct PacketHead {
  std::uint16_t bytes;
  std::uint8_t listener;
  std::uint8_t family;  // 4 or 6
  std::uint16_t port;   // of the client, host order
  std::uint16_t pad;
  std::uint32_t scope;      // of a link-local client
  std::uint32_t interface;  // of a link-local address asked
  std::array<std::uint8_t, 16> client;
  std::array<std::uint8_t, 16> local;
};
static_assert(sizeof(PacketHead) == 48);

/// Packets for JavaScript; over the limit they are refused.
class UpQueue {
 public:
  explicit UpQueue(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  /// `wake` is called when the queue was empty. @returns false when there was no room
  template <typename Wake>
  bool push(const PacketHead& head, const std::uint8_t* packet, Wake wake) {
    const std::lock_guard lock(mutex_);
    if (bytes_.size() + sizeof head + head.bytes > max_bytes_) return false;
    const auto* start = reinterpret_cast<const std::uint8_t*>(&head);
    bytes_.insert(bytes_.end(), start, start + sizeof head);
    bytes_.insert(bytes_.end(), packet, packet + head.bytes);
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

struct Socket {
  int family = 0;
  UniqueFd fd;
  /// Bound to one address, which replies leave from without being told, and which it is.
  bool has_own_address = false;
  std::array<std::uint8_t, 16> address{};
};

/// Opens a UDP socket for one family; `host` empty: all addresses. On failure errno and `syscall` say why.
Socket open_socket(int family, const std::string& host, std::uint16_t port, const char*& syscall);
/// Sends replies as their heads say, many in one call. A socket that takes no more loses them, as on the way.
class Sender {
 public:
  /// `packet` must last until flush().
  void add(int fd, const PacketHead& head, const std::uint8_t* packet);
  void flush();
  [[nodiscard]] std::size_t failed() const { return failed_; }

 private:
  static constexpr std::size_t kMost = 64;
  struct Item {
    sockaddr_storage to;
    iovec data;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control;
  };
  std::array<mmsghdr, kMost> messages_;
  std::array<Item, kMost> items_;
  std::size_t count_ = 0;
  std::size_t failed_ = 0;
  int fd_ = -1;
};

/// What all threads answer from.
struct Data {
  Epochs& epochs;
  const Names& names;
  const Table& table;
};

class Worker {
 public:
  Worker(const Data& data, UpQueue& queue, Counters& counters, std::function<void()> wake, std::uint8_t listener)
      : data_(data), queue_(queue), counters_(counters), wake_(std::move(wake)), listener_(listener) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { stop(); }

  void add_socket(Socket socket) { sockets_.push_back(std::move(socket)); }
  /// @returns false when there is no room for another reader or no descriptor
  bool start();
  void stop();
  /// Descriptor of the family (AF_INET, AF_INET6), -1 when there is none.
  [[nodiscard]] int socket(int family) const;
  [[nodiscard]] Counters& counters() { return counters_; }

 private:
  struct Batch;
  void run();
  void serve(const Socket& socket, Batch& batch);
  /// Writes a reply to `packet`. @returns its size and counter; size 0: nobody here knows
  Answered answer(std::span<const std::uint8_t> packet, Query& query, std::int64_t now_ms, std::uint8_t* out);
  void hand_up(const Socket& socket, const sockaddr_storage& peer, msghdr& message, std::span<const std::uint8_t> packet);
  void count(std::uint16_t slot, const Query& query, std::size_t sizes[2], int family);

  Data data_;
  UpQueue& queue_;
  Counters& counters_;
  std::function<void()> wake_;
  std::uint8_t listener_;
  std::vector<Socket> sockets_;
  UniqueFd stop_;
  std::thread thread_;
  std::uint64_t random_ = 0;
  int reader_ = -1;
};

}  // namespace nodeplane::dns

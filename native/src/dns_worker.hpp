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
#include "dns_forwarder.hpp"
#include "dns_names.hpp"
#include "dns_table.hpp"
#include "dns_up_queue.hpp"
#include "napi_util.hpp"

namespace nodeplane::dns {

struct Socket {
  int family = 0;
  UniqueFd fd;
  /// Bound to one address, which replies leave from without being told, and which it is.
  bool has_own_address = false;
  std::array<std::uint8_t, 16> address{};
};

/// Opens a UDP socket for one family; `host` empty: all addresses. On failure errno and `syscall` say why.
Socket open_socket(int family, const std::string& host, std::uint16_t port, const char*& syscall);
/// What all threads answer from.
struct Data {
  Epochs& epochs;
  const Names& names;
  const Table& table;
  ForwardShared& forwarding;
};

class Worker {
 public:
  Worker(const Data& data, UpQueue& queue, Counters& counters, std::function<void()> wake, std::uint8_t listener)
      : data_(data),
        queue_(queue),
        counters_(counters),
        wake_(std::move(wake)),
        listener_(listener),
        forwarder_(data.forwarding, queue_, counters_, wake_) {}
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
  Answered answer(const Query& query, std::int64_t now_ms, std::uint8_t* out);
  PacketHead head_of(const Socket& socket, const sockaddr_storage& peer, msghdr& message, std::size_t bytes);
  void hand_up(const PacketHead& head, std::span<const std::uint8_t> packet);

  Data data_;
  UpQueue& queue_;
  Counters& counters_;
  std::function<void()> wake_;
  std::uint8_t listener_;
  Forwarder forwarder_;
  std::vector<Socket> sockets_;
  UniqueFd stop_;
  std::thread thread_;
  std::uint64_t random_ = 0;
  int reader_ = -1;
};

}  // namespace nodeplane::dns

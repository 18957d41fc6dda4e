// Layer native. The DNS engine: listeners with their threads, the writer of names and learned answers, the queue upwards.
// All calls come from one environment's thread; the worker threads call nothing of Node-API but the wake function.
#pragma once

#include <map>

#include "dns_worker.hpp"

namespace nodeplane::dns {

class Engine {
 public:
  /// @param max_bytes of learned answers
  Engine(napi_env env, std::size_t max_bytes);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { close(); }

  void start(napi_threadsafe_function wake);
  /// Ends the threads and closes the sockets. Harmless a second time.
  void close();
  /// In the place of the listener with this number, if there is one. @returns 0 or an errno, with the call that failed
  int listen(std::uint8_t id, const std::string& host, std::uint16_t port, std::int64_t threads, const char*& syscall);
  void unlisten(std::uint8_t id);
  /// Packets behind their heads. @returns how many could not be sent
  std::size_t send(std::span<const std::uint8_t> packets);
  /// Sums of all threads, those that are gone included.
  void sum(std::span<double> into) const;

  Table& table() { return table_; }
  Names& names() { return names_; }
  UpQueue& queue() { return queue_; }
  /// Of the configuration that answers.
  ForwardPlan& plan() { return *names_.config().plan; }
  ForwardShared& forwarding() { return forwarding_; }

 private:
  Engine(napi_env env, std::size_t max_bytes, std::uint64_t seed);
  static void on_exit(void* self) { static_cast<Engine*>(self)->close(); }

  napi_env env_;
  Epochs epochs_;
  Table table_;
  Names names_;
  UpQueue queue_;
  ForwardShared forwarding_;
  /// Of live and of ended threads; a thread's are never taken over, so that sums only grow.
  std::vector<std::unique_ptr<Counters>> counters_;
  std::map<std::uint8_t, std::vector<std::unique_ptr<Worker>>> listeners_;
  napi_threadsafe_function wake_ = nullptr;
};

}  // namespace nodeplane::dns

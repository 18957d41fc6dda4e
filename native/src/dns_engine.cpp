// Layer native. See dns_engine.hpp.
#include "dns_engine.hpp"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>

namespace nodeplane::dns {
namespace {

constexpr std::size_t kQueueBytes = 2 << 20;
/// Names of clusters: 100 times what 30,000 services of ten endpoints need.
constexpr std::size_t kNamesBytes = std::size_t{2} << 30;

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  (void)!::getrandom(&seed, sizeof seed, 0);
  return seed;
}

void retire(std::vector<std::unique_ptr<Worker>>& workers) {
  for (auto& worker : workers) worker->stop();
}

}  // namespace

Engine::Engine(napi_env env, std::size_t max_bytes) : Engine(env, max_bytes, random_seed()) {}

Engine::Engine(napi_env env, std::size_t max_bytes, std::uint64_t seed)
    : env_(env), table_(epochs_, max_bytes, seed), names_(epochs_, kNamesBytes, seed), queue_(kQueueBytes), forwarding_(seed) {}

void Engine::start(napi_threadsafe_function wake) {
  wake_ = wake;
  napi_add_env_cleanup_hook(env_, on_exit, this);
}

void Engine::close() {
  if (wake_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, on_exit, this);
  for (auto& [id, workers] : listeners_) retire(workers);
  listeners_.clear();
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  wake_ = nullptr;
}

int Engine::listen(std::uint8_t id, const std::string& host, std::uint16_t port, std::int64_t threads,
                   const char*& syscall) {
  syscall = "dnsEngineListen";
  if (wake_ == nullptr) return ESHUTDOWN;
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::int64_t i = 0; i < threads; i++) {
    counters_.push_back(std::make_unique<Counters>());
    auto worker = std::make_unique<Worker>(
        Data{epochs_, names_, table_, forwarding_}, queue_, *counters_.back(),
        [wake = wake_] { napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking); },
        id);
    const bool is_v6 = host.find(':') != std::string::npos;
    for (const int family : {AF_INET, AF_INET6}) {
      if (!host.empty() && is_v6 != (family == AF_INET6)) continue;
      Socket socket = open_socket(family, host, port, syscall);
      // A machine without IPv6 serves IPv4.
      if (!socket.fd.valid() && host.empty() && family == AF_INET6) continue;
      if (!socket.fd.valid()) return errno;
      worker->add_socket(std::move(socket));
    }
    workers.push_back(std::move(worker));
  }
  for (auto& worker : workers) {
    syscall = "eventfd";
    if (!worker->start()) return EMFILE;
  }
  unlisten(id);
  listeners_[id] = std::move(workers);
  return 0;
}

void Engine::unlisten(std::uint8_t id) {
  const auto found = listeners_.find(id);
  if (found == listeners_.end()) return;
  retire(found->second);
  listeners_.erase(found);
}

std::size_t Engine::send(std::span<const std::uint8_t> packets) {
  Sender sender;
  std::size_t lost = 0;
  std::size_t at = 0;
  while (packets.size() - at >= sizeof(PacketHead)) {
    PacketHead head{};
    std::memcpy(&head, packets.data() + at, sizeof head);
    at += sizeof head;
    if (packets.size() - at < head.bytes) break;
    const auto found = listeners_.find(head.listener);
    const int fd = found == listeners_.end() || found->second.empty()
                       ? -1
                       : found->second.front()->socket(head.family == 4 ? AF_INET : AF_INET6);
    if (fd >= 0) {
      sender.add(fd, head, packets.data() + at);
    } else {
      lost++;
    }
    at += head.bytes;
  }
  sender.flush();
  return lost + sender.failed();
}

void Engine::sum(std::span<double> into) const {
  std::fill(into.begin(), into.end(), 0.0);
  for (const auto& counters : counters_) {
    const auto* numbers = reinterpret_cast<const Count*>(counters.get());
    for (std::size_t i = 0; i < into.size(); i++) into[i] += static_cast<double>(numbers[i].get());
  }
}

}  // namespace nodeplane::dns

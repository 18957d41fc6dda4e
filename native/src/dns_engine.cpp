// Layer native. The DNS engine towards JavaScript: listeners with their threads, the table's writer, the queue upwards.
// All calls come from one environment's thread; the worker threads call nothing of Node-API but the wake function.
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <map>

#include "dns_worker.hpp"

namespace nodeplane {
namespace {

using namespace dns;

constexpr napi_type_tag kEngineTag = {0x6e6f6465706c6132, 0x646e732d656e6769};
constexpr std::size_t kQueueBytes = 2 << 20;
constexpr std::int64_t kMaxThreads = 16;

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  (void)!::getrandom(&seed, sizeof seed, 0);
  return seed;
}

class Engine {
 public:
  Engine(napi_env env, std::size_t max_bytes) : env_(env), table_(max_bytes, random_seed()), queue_(kQueueBytes) {}
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { close(); }

  void start(napi_threadsafe_function wake) {
    wake_ = wake;
    napi_add_env_cleanup_hook(env_, on_exit, this);
  }

  void close() {
    if (wake_ == nullptr) return;
    napi_remove_env_cleanup_hook(env_, on_exit, this);
    for (auto& [id, workers] : listeners_) retire(workers);
    listeners_.clear();
    napi_release_threadsafe_function(wake_, napi_tsfn_abort);
    wake_ = nullptr;
  }

  /// @returns 0 or an errno, with the call that failed
  int listen(std::uint8_t id, const std::string& host, std::uint16_t port, std::int64_t threads,
             const char*& syscall) {
    syscall = "dnsEngineListen";
    if (wake_ == nullptr) return ESHUTDOWN;
    std::vector<std::unique_ptr<Worker>> workers;
    for (std::int64_t i = 0; i < threads; i++) {
      counters_.push_back(std::make_unique<Counters>());
      auto worker = std::make_unique<Worker>(
          table_, queue_, *counters_.back(), [wake = wake_] { napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking); },
          id);
      const bool is_v6 = host.find(':') != std::string::npos;
      for (const int family : {AF_INET, AF_INET6}) {
        if (!host.empty() && is_v6 != (family == AF_INET6)) continue;
        UniqueFd fd = open_socket(family, host, port, syscall);
        // A machine without IPv6 serves IPv4.
        if (!fd.valid() && host.empty() && family == AF_INET6) continue;
        if (!fd.valid()) return errno;
        worker->add_socket(family, std::move(fd));
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

  void unlisten(std::uint8_t id) {
    const auto found = listeners_.find(id);
    if (found == listeners_.end()) return;
    retire(found->second);
    listeners_.erase(found);
  }

  std::size_t send(std::span<const std::uint8_t> packets) {
    std::size_t failed = 0;
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
      if (fd < 0 || send_packet(fd, head, packets.data() + at) != 0) failed++;
      at += head.bytes;
    }
    return failed;
  }

  /// Sums of all threads, those that are gone included.
  void sum(std::span<double> into) const {
    std::fill(into.begin(), into.end(), 0.0);
    for (const auto& counters : counters_) {
      const auto* numbers = reinterpret_cast<const Count*>(counters.get());
      for (std::size_t i = 0; i < into.size(); i++) into[i] += static_cast<double>(numbers[i].get());
    }
  }

  Table& table() { return table_; }
  UpQueue& queue() { return queue_; }

 private:
  static void on_exit(void* self) { static_cast<Engine*>(self)->close(); }
  static void retire(std::vector<std::unique_ptr<Worker>>& workers) {
    for (auto& worker : workers) worker->stop();
  }

  napi_env env_;
  Table table_;
  UpQueue queue_;
  /// Of live and of ended threads; a thread's are never taken over, so that sums only grow.
  std::vector<std::unique_ptr<Counters>> counters_;
  std::map<std::uint8_t, std::vector<std::unique_ptr<Worker>>> listeners_;
  napi_threadsafe_function wake_ = nullptr;
};

void deliver(napi_env env, napi_value callback, void*, void*) {
  if (env == nullptr || callback == nullptr) return;
  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  napi_call_function(env, receiver, callback, 0, nullptr, nullptr);
}

/// dnsEngineOpen(maxBytes, wake)
napi_value dns_open(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  std::int64_t max_bytes = 0;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, arguments.at(1), &type);
  if (!arguments.number(0, max_bytes) || max_bytes < 0 || type != napi_function) {
    return throw_type(env, "dnsEngineOpen(maxBytes, wake)");
  }
  napi_value name = nullptr;
  napi_create_string_utf8(env, "dnsEngine", NAPI_AUTO_LENGTH, &name);
  napi_threadsafe_function wake = nullptr;
  if (napi_create_threadsafe_function(env, arguments.at(1), nullptr, name, 0, 1, nullptr, nullptr, nullptr, deliver,
                                      &wake) != napi_ok) {
    return throw_errno(env, "napi_create_threadsafe_function", ENOMEM);
  }
  napi_unref_threadsafe_function(env, wake);
  auto engine = std::make_unique<Engine>(env, static_cast<std::size_t>(max_bytes));
  engine->start(wake);
  return make_external(env, engine.release(), kEngineTag);
}

/// dnsEngineListen(engine, id, host, port, threads)
napi_value dns_listen(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t id = 0;
  std::int64_t port = 0;
  std::int64_t threads = 0;
  std::string host;
  if (engine == nullptr || !arguments.number(1, id) || !arguments.text(2, host) || !arguments.number(3, port) ||
      !arguments.number(4, threads) || id < 0 || id > 255 || port < 1 || port > 65535 || threads < 1 ||
      threads > kMaxThreads) {
    return throw_type(env, "dnsEngineListen(engine, id, host, port, threads)");
  }
  const char* syscall = "";
  const int error = engine->listen(static_cast<std::uint8_t>(id), host, static_cast<std::uint16_t>(port), threads, syscall);
  return error == 0 ? nullptr : throw_errno(env, syscall, error);
}

/// dnsEngineUnlisten(engine, id)
napi_value dns_unlisten(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t id = 0;
  if (engine == nullptr || !arguments.number(1, id) || id < 0 || id > 255) {
    return throw_type(env, "dnsEngineUnlisten(engine, id)");
  }
  engine->unlisten(static_cast<std::uint8_t>(id));
  return nullptr;
}

/// dnsEnginePublish(engine, record)
napi_value dns_publish(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::span<std::uint8_t> record;
  EntryPointer entry;
  if (engine != nullptr && arguments.bytes(1, record)) entry = read_entry(record);
  if (entry == nullptr) return throw_type(env, "dnsEnginePublish(engine, record): malformed record");
  engine->table().publish(std::move(entry));
  return nullptr;
}

/// dnsEngineGeneration(engine, tag, generation)
napi_value dns_generation(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t tag = 0;
  std::int64_t generation = 0;
  if (engine == nullptr || !arguments.number(1, tag) || !arguments.number(2, generation) || tag < 0 || tag >= 65536) {
    return throw_type(env, "dnsEngineGeneration(engine, tag, generation)");
  }
  engine->table().set_generation(static_cast<std::uint16_t>(tag), static_cast<std::uint32_t>(generation));
  return nullptr;
}

/// dnsEngineSerial(engine, serial)
napi_value dns_serial(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t serial = 0;
  if (engine == nullptr || !arguments.number(1, serial)) return throw_type(env, "dnsEngineSerial(engine, serial)");
  engine->table().set_serial(static_cast<std::uint32_t>(serial));
  return nullptr;
}

/// dnsEngineFlush(engine)
napi_value dns_flush(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  if (engine == nullptr) return throw_type(env, "dnsEngineFlush(engine)");
  engine->table().flush();
  return nullptr;
}

/// dnsEngineTake(engine) -> Buffer
napi_value dns_take(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  if (engine == nullptr) return throw_type(env, "dnsEngineTake(engine)");
  const std::vector<std::uint8_t> bytes = engine->queue().take();
  napi_value buffer = nullptr;
  napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &buffer);
  return buffer;
}

/// dnsEngineSend(engine, packets) -> number that failed
napi_value dns_send(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::span<std::uint8_t> packets;
  if (engine == nullptr || !arguments.bytes(1, packets)) return throw_type(env, "dnsEngineSend(engine, packets)");
  napi_value failed = nullptr;
  napi_create_uint32(env, static_cast<std::uint32_t>(engine->send(packets)), &failed);
  return failed;
}

/// dnsEngineCounters(engine) -> Float64Array: head, entries and bytes of the table, then the slots
napi_value dns_counters(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  if (engine == nullptr) return throw_type(env, "dnsEngineCounters(engine)");
  constexpr std::size_t kNumbers = sizeof(Counters) / sizeof(Count);
  void* memory = nullptr;
  napi_value storage = nullptr;
  napi_value array = nullptr;
  napi_create_arraybuffer(env, (kNumbers + 2) * sizeof(double), &memory, &storage);
  auto* numbers = static_cast<double*>(memory);
  engine->sum({numbers + 2, kNumbers});
  numbers[0] = static_cast<double>(engine->table().entries());
  numbers[1] = static_cast<double>(engine->table().bytes());
  napi_create_typedarray(env, napi_float64_array, kNumbers + 2, storage, 0, &array);
  return array;
}

/// dnsEngineClose(engine)
napi_value dns_close(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  if (engine == nullptr) return throw_type(env, "dnsEngineClose(engine)");
  engine->close();
  return nullptr;
}

}  // namespace

void register_dns_engine(napi_env env, napi_value exports) {
  export_function(env, exports, "dnsEngineOpen", dns_open);
  export_function(env, exports, "dnsEngineListen", dns_listen);
  export_function(env, exports, "dnsEngineUnlisten", dns_unlisten);
  export_function(env, exports, "dnsEnginePublish", dns_publish);
  export_function(env, exports, "dnsEngineGeneration", dns_generation);
  export_function(env, exports, "dnsEngineSerial", dns_serial);
  export_function(env, exports, "dnsEngineFlush", dns_flush);
  export_function(env, exports, "dnsEngineTake", dns_take);
  export_function(env, exports, "dnsEngineSend", dns_send);
  export_function(env, exports, "dnsEngineCounters", dns_counters);
  export_function(env, exports, "dnsEngineClose", dns_close);
}

}  // namespace nodeplane

// Layer native. The DNS engine as functions of the addon: arguments checked, nothing decided.
#include "dns_engine.hpp"

namespace nodeplane {
namespace {

using namespace dns;

constexpr napi_type_tag kEngineTag = {0x6e6f6465706c6132, 0x646e732d656e6769};
constexpr std::int64_t kMaxThreads = 16;
constexpr std::size_t kTableNumbers = 4;

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

/// dnsEngineConfigure(engine, record)
napi_value dns_configure(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::span<std::uint8_t> record;
  std::unique_ptr<Config> config;
  if (engine != nullptr && arguments.bytes(1, record)) config = read_config(record);
  if (config == nullptr) return throw_type(env, "dnsEngineConfigure(engine, record): malformed record");
  engine->names().configure(std::move(config));
  return nullptr;
}

/// dnsEnginePutName(engine, record) -> boolean
napi_value dns_put_name(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::span<std::uint8_t> record;
  UnitPointer unit;
  if (engine != nullptr && arguments.bytes(1, record)) unit = read_unit(record);
  if (unit == nullptr) return throw_type(env, "dnsEnginePutName(engine, record): malformed record");
  napi_value is_put = nullptr;
  napi_get_boolean(env, engine->names().put(std::move(unit)), &is_put);
  return is_put;
}

/// dnsEngineRemoveName(engine, view, key)
napi_value dns_remove_name(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t view = 0;
  std::span<std::uint8_t> key;
  if (engine == nullptr || !arguments.number(1, view) || view < 0 || view > 255 || !arguments.bytes(2, key)) {
    return throw_type(env, "dnsEngineRemoveName(engine, view, key)");
  }
  engine->names().remove(static_cast<std::uint8_t>(view), key);
  return nullptr;
}

/// dnsEngineView(engine, view, state): 0 off, 1 on, 2 off and forgotten
napi_value dns_view(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t view = 0;
  std::int64_t state = 0;
  if (engine == nullptr || !arguments.number(1, view) || !arguments.number(2, state) || view < 0 || view > 255) {
    return throw_type(env, "dnsEngineView(engine, view, state)");
  }
  engine->names().set_on(static_cast<std::uint8_t>(view), state == 1);
  if (state == 2) engine->names().clear(static_cast<std::uint8_t>(view));
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
  engine->forwarding().kept.clear();
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

/// dnsEngineCounters(engine) -> Float64Array: learned answers and their bytes, names and theirs, head,
/// upstreams, slots
napi_value dns_counters(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  if (engine == nullptr) return throw_type(env, "dnsEngineCounters(engine)");
  constexpr std::size_t kNumbers = sizeof(Counters) / sizeof(Count);
  void* memory = nullptr;
  napi_value storage = nullptr;
  napi_value array = nullptr;
  napi_create_arraybuffer(env, (kNumbers + kTableNumbers) * sizeof(double), &memory, &storage);
  auto* numbers = static_cast<double*>(memory);
  engine->sum({numbers + kTableNumbers, kNumbers});
  numbers[0] = static_cast<double>(engine->table().entries());
  numbers[1] = static_cast<double>(engine->table().bytes());
  numbers[2] = static_cast<double>(engine->names().count());
  numbers[3] = static_cast<double>(engine->names().bytes());
  napi_create_typedarray(env, napi_float64_array, kNumbers + kTableNumbers, storage, 0, &array);
  return array;
}

/// dnsEngineMark(engine, name, type, keyFlags, untilSeconds)
napi_value dns_mark(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::span<std::uint8_t> name;
  std::int64_t type = 0;
  std::int64_t flags = 0;
  std::int64_t until = 0;
  if (engine == nullptr || !arguments.bytes(1, name) || name_length(name) != name.size() || name.empty() ||
      !arguments.number(2, type) || !arguments.number(3, flags) || !arguments.number(4, until) || type < 0 ||
      type > 0xffff || flags < 0 || flags > 31 || until < 0) {
    return throw_type(env, "dnsEngineMark(engine, name, type, keyFlags, untilSeconds)");
  }
  engine->forwarding().kept.set(name, static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(flags),
                                static_cast<std::uint32_t>(std::min<std::int64_t>(until, 0xffffffff)));
  return nullptr;
}

/// dnsEngineUpstream(engine, upstream, bits): UpstreamBits
napi_value dns_upstream(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t index = 0;
  std::int64_t bits = 0;
  if (engine == nullptr || !arguments.number(1, index) || !arguments.number(2, bits) || index < 0 ||
      static_cast<std::size_t>(index) >= engine->plan().upstreams.size() || bits < 0 || bits > 7) {
    return throw_type(env, "dnsEngineUpstream(engine, upstream, bits)");
  }
  engine->plan().upstreams[static_cast<std::size_t>(index)]->bits.store(static_cast<std::uint8_t>(bits));
  return nullptr;
}

/// dnsEngineGroup(engine, group, isOn)
napi_value dns_group(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  std::int64_t index = 0;
  bool is_on = false;
  if (engine == nullptr || !arguments.number(1, index) || index < 0 ||
      static_cast<std::size_t>(index) >= engine->plan().groups.size() ||
      napi_get_value_bool(env, arguments.at(2), &is_on) != napi_ok) {
    return throw_type(env, "dnsEngineGroup(engine, group, isOn)");
  }
  engine->plan().groups[static_cast<std::size_t>(index)]->is_on.store(is_on);
  return nullptr;
}

/// dnsEngineForwarding(engine) -> Float64Array: queries in work, of each group, failed and recovered of each upstream
napi_value dns_forwarding(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* engine = arguments.external<Engine>(0, kEngineTag);
  if (engine == nullptr) return throw_type(env, "dnsEngineForwarding(engine)");
  // What happens from here on is news again.
  engine->forwarding().has_news.store(false);
  const ForwardPlan& plan = engine->plan();
  std::vector<double> numbers = {static_cast<double>(engine->forwarding().in_flight.load())};
  for (const auto& group : plan.groups) numbers.push_back(group->in_work.load());
  for (const auto& upstream : plan.upstreams) {
    numbers.push_back(static_cast<double>(upstream->failed.load()));
    numbers.push_back(static_cast<double>(upstream->recovered.load()));
  }
  void* memory = nullptr;
  napi_value storage = nullptr;
  napi_value array = nullptr;
  napi_create_arraybuffer(env, numbers.size() * sizeof(double), &memory, &storage);
  std::memcpy(memory, numbers.data(), numbers.size() * sizeof(double));
  napi_create_typedarray(env, napi_float64_array, numbers.size(), storage, 0, &array);
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
  export_function(env, exports, "dnsEngineConfigure", dns_configure);
  export_function(env, exports, "dnsEnginePutName", dns_put_name);
  export_function(env, exports, "dnsEngineRemoveName", dns_remove_name);
  export_function(env, exports, "dnsEngineView", dns_view);
  export_function(env, exports, "dnsEngineGeneration", dns_generation);
  export_function(env, exports, "dnsEngineSerial", dns_serial);
  export_function(env, exports, "dnsEngineFlush", dns_flush);
  export_function(env, exports, "dnsEngineTake", dns_take);
  export_function(env, exports, "dnsEngineSend", dns_send);
  export_function(env, exports, "dnsEngineCounters", dns_counters);
  export_function(env, exports, "dnsEngineMark", dns_mark);
  export_function(env, exports, "dnsEngineUpstream", dns_upstream);
  export_function(env, exports, "dnsEngineGroup", dns_group);
  export_function(env, exports, "dnsEngineForwarding", dns_forwarding);
  export_function(env, exports, "dnsEngineClose", dns_close);
}

}  // namespace nodeplane

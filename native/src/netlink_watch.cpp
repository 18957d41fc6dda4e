// Layer native. Netlink notifications: a thread waits for datagrams of multicast groups and hands them to JavaScript.
// Datagrams whose first message was caused by one of up to four ports are dropped inside the kernel by a socket
// filter, so the program's own changes do not wake it. A full queue or a lost datagram is reported as an overrun.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "napi_util.hpp"

namespace nodeplane {
namespace {

constexpr std::size_t kQueue = 64;
constexpr std::size_t kMaxDatagram = 65536;
constexpr napi_type_tag kWatchTag = {0x6e6f6465706c6131, 0x6e6c2d7761746368};

struct Notification {
  std::vector<std::uint8_t> bytes;
  bool overrun = false;
};

class NetlinkWatch {
 public:
  NetlinkWatch(napi_env env, UniqueFd socket, UniqueFd stop, int group)
      : env_(env), socket_(std::move(socket)), stop_(std::move(stop)), group_(group) {}
  NetlinkWatch(const NetlinkWatch&) = delete;
  NetlinkWatch& operator=(const NetlinkWatch&) = delete;
  ~NetlinkWatch() { close(); }

  void start(napi_threadsafe_function deliver) {
    deliver_ = deliver;
    // Added behind the function's own hook, so it runs before it: the thread ends while the function still exists.
    napi_add_env_cleanup_hook(env_, on_exit, this);
    thread_ = std::thread([this] { run(); });
  }

  /// Joins or leaves the multicast group. Returns 0 or an errno.
  [[nodiscard]] int listen(bool on) {
    if (!socket_.valid()) return 0;
    const int option = on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP;
    return ::setsockopt(socket_.get(), SOL_NETLINK, option, &group_, sizeof group_) == 0 ? 0 : errno;
  }

  void close() {
    if (!thread_.joinable()) return;
    napi_remove_env_cleanup_hook(env_, on_exit, this);
    const std::uint64_t one = 1;
    (void)retry([&] { return ::write(stop_.get(), &one, sizeof one); });
    thread_.join();
    napi_release_threadsafe_function(deliver_, napi_tsfn_abort);
    socket_.reset();
  }

 private:
  static void on_exit(void* self) { static_cast<NetlinkWatch*>(self)->close(); }

  void run() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::vector<std::uint8_t> buffer(kMaxDatagram);
    bool overrun = false;
    for (;;) {
      std::array<pollfd, 2> waiting = {{{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
      if (retry([&] { return ::poll(waiting.data(), waiting.size(), -1); }) < 0) return;
      if (waiting[1].revents != 0) return;
      const ssize_t got =
          retry([&] { return ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT); });
      if (got < 0 && errno == EAGAIN) continue;
      auto notification = std::make_unique<Notification>();
      if (got < 0) {
        notification->overrun = true;
      } else {
        notification->bytes.assign(buffer.begin(), buffer.begin() + got);
        notification->overrun = overrun;
      }
      Notification* raw = notification.release();
      if (napi_call_threadsafe_function(deliver_, raw, napi_tsfn_nonblocking) == napi_ok) {
        overrun = false;
      } else {
        delete raw;
        overrun = true;
      }
    }
  }

  napi_env env_;
  UniqueFd socket_;
  UniqueFd stop_;
  int group_;
  napi_threadsafe_function deliver_ = nullptr;
  std::thread thread_;
};

void deliver(napi_env env, napi_value callback, void*, void* data) {
  const std::unique_ptr<Notification> notification(static_cast<Notification*>(data));
  if (env == nullptr || callback == nullptr) return;
  void* memory = nullptr;
  napi_value buffer = nullptr;
  napi_value overrun = nullptr;
  napi_value receiver = nullptr;
  napi_create_buffer_copy(env, notification->bytes.size(), notification->bytes.data(), &memory, &buffer);
  napi_get_boolean(env, notification->overrun, &overrun);
  napi_get_undefined(env, &receiver);
  const std::array<napi_value, 2> values = {buffer, overrun};
  napi_call_function(env, receiver, callback, values.size(), values.data(), nullptr);
}

/// Drops datagrams whose nlmsg_pid (offset 12) is one of `ports`.
bool ignore_ports(int fd, const std::vector<std::uint32_t>& ports) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12));
  for (const std::uint32_t port : ports) {
    // Loads are big-endian, the field is in host order.
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, 0xffffffff));
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

/// netlinkWatch(protocol, group, ignorePort, callback)
napi_value netlink_watch(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  std::int64_t protocol = 0;
  std::int64_t group = 0;
  std::int64_t ignore = 0;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, arguments.at(3), &type);
  if (!arguments.number(0, protocol) || !arguments.number(1, group) || !arguments.number(2, ignore) ||
      type != napi_function || protocol < 0 || protocol > 31 || group < 1 || group > 1024 || ignore < 0 ||
      ignore > 0xffffffffLL) {
    return throw_type(env, "netlinkWatch(protocol, group, ignorePort, callback): bad argument");
  }
  const char* syscall = "";
  UniqueFd fd = open_netlink(static_cast<int>(protocol), 65536, 4 << 20, syscall);
  if (!fd.valid()) return throw_errno(env, syscall, errno);
  if (ignore != 0 && !ignore_ports(fd.get(), {static_cast<std::uint32_t>(ignore)})) {
    return throw_errno(env, "setsockopt", errno);
  }
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return throw_errno(env, "eventfd", errno);
  napi_value name = nullptr;
  napi_create_string_utf8(env, "netlinkWatch", NAPI_AUTO_LENGTH, &name);
  napi_threadsafe_function callback = nullptr;
  if (napi_create_threadsafe_function(env, arguments.at(3), nullptr, name, kQueue, 1, nullptr, nullptr, nullptr,
                                      deliver, &callback) != napi_ok) {
    return throw_errno(env, "napi_create_threadsafe_function", ENOMEM);
  }
  napi_unref_threadsafe_function(env, callback);
  auto watch = std::make_unique<NetlinkWatch>(env, std::move(fd), std::move(stop), static_cast<int>(group));
  if (const int error = watch->listen(true); error != 0) {
    napi_release_threadsafe_function(callback, napi_tsfn_abort);
    return throw_errno(env, "setsockopt", error);
  }
  watch->start(callback);
  return make_external(env, watch.release(), kWatchTag);
}

/// netlinkListen(watch, on)
napi_value netlink_listen(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* watch = arguments.external<NetlinkWatch>(0, kWatchTag);
  bool on = false;
  if (watch == nullptr || napi_get_value_bool(env, arguments.at(1), &on) != napi_ok) {
    return throw_type(env, "netlinkListen(watch, on): bad argument");
  }
  const int error = watch->listen(on);
  return error == 0 ? nullptr : throw_errno(env, "setsockopt", error);
}

napi_value netlink_unwatch(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* watch = arguments.external<NetlinkWatch>(0, kWatchTag);
  if (watch == nullptr) return throw_type(env, "not a netlink watch");
  watch->close();
  return nullptr;
}

}  // namespace

void register_netlink_watch(napi_env env, napi_value exports) {
  export_function(env, exports, "netlinkWatch", netlink_watch);
  export_function(env, exports, "netlinkListen", netlink_listen);
  export_function(env, exports, "netlinkUnwatch", netlink_unwatch);
}

}  // namespace nodeplane

// Layer native. Netlink sockets: open, send one datagram, read what is queued. The kernel handles a request inside
// sendmsg, so answers are there when it returns and one call can send and read.
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "napi_util.hpp"

namespace nodeplane {
namespace {

/// No datagram of the kernel is larger: dumps are cut at 32 KiB, acknowledgements are capped.
constexpr std::size_t kMaxDatagram = 65536;

constexpr napi_type_tag kSocketTag = {0x6e6f6465706c6131, 0x6e65746c696e6b73};

struct NetlinkSocket {
  UniqueFd fd;
  std::uint32_t port = 0;
};

bool set_option(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

}  // namespace

UniqueFd open_netlink(int protocol, int send_bytes, int receive_bytes, const char*& syscall) {
  syscall = "socket";
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd.valid()) return fd;
  syscall = "setsockopt";
  // The forced sizes need CAP_NET_ADMIN; without it the plain ones are clipped, and a too large batch says EMSGSIZE.
  const bool sized =
      (set_option(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, send_bytes) ||
       set_option(fd.get(), SOL_SOCKET, SO_SNDBUF, send_bytes)) &&
      (set_option(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, receive_bytes) ||
       set_option(fd.get(), SOL_SOCKET, SO_RCVBUF, receive_bytes)) &&
      set_option(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, 1) && set_option(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, 1);
  if (!sized) {
    const int error = errno;
    fd.reset();
    errno = error;
    return fd;
  }
  syscall = "bind";
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    fd.reset();
    errno = error;
  }
  return fd;
}

namespace {

napi_value netlink_open(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  std::int64_t protocol = 0;
  std::int64_t send_bytes = 0;
  std::int64_t receive_bytes = 0;
  if (!arguments.number(0, protocol) || !arguments.number(1, send_bytes) || !arguments.number(2, receive_bytes) ||
      protocol < 0 || protocol > 31 || send_bytes < 0 || send_bytes > (1 << 28) || receive_bytes < 0 ||
      receive_bytes > (1 << 28)) {
    return throw_type(env, "netlinkOpen(protocol, sendBytes, receiveBytes): bad argument");
  }
  const char* syscall = "";
  UniqueFd fd =
      open_netlink(static_cast<int>(protocol), static_cast<int>(send_bytes), static_cast<int>(receive_bytes), syscall);
  if (!fd.valid()) return throw_errno(env, syscall, errno);
  sockaddr_nl address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return throw_errno(env, "getsockname", errno);
  }
  return make_external(env, new NetlinkSocket{std::move(fd), address.nl_pid}, kSocketTag);
}

napi_value netlink_port(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  const auto* socket = arguments.external<NetlinkSocket>(0, kSocketTag);
  if (socket == nullptr) return throw_type(env, "not a netlink socket");
  napi_value result = nullptr;
  napi_create_uint32(env, socket->port, &result);
  return result;
}

/// Reads queued datagrams one behind the other, each on a 4-byte boundary. Returns the bytes written, or -errno when
/// not even one could be read; an error after the first datagram is met again by the next call.
std::int64_t receive_queued(int fd, std::span<std::uint8_t> into) {
  std::size_t used = 0;
  while (into.size() - used >= kMaxDatagram) {
    const ssize_t got = retry([&] { return ::recv(fd, into.data() + used, into.size() - used, MSG_DONTWAIT); });
    if (got < 0) {
      const int error = errno;
      if (used > 0 && error == EAGAIN) break;
      return used > 0 && error != ENOBUFS ? static_cast<std::int64_t>(used) : -error;
    }
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    while (used % 4 != 0 && used < into.size()) into[used++] = 0;
  }
  return static_cast<std::int64_t>(used);
}

/// netlinkTransact(socket, request, requestLength, into, timeoutMs): sends unless requestLength is 0, then reads.
napi_value netlink_transact(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  auto* socket = arguments.external<NetlinkSocket>(0, kSocketTag);
  std::span<std::uint8_t> request;
  std::span<std::uint8_t> into;
  std::int64_t length = 0;
  std::int64_t timeout_ms = 0;
  if (socket == nullptr || !arguments.bytes(1, request) || !arguments.number(2, length) || !arguments.bytes(3, into) ||
      !arguments.number(4, timeout_ms) || length < 0 || static_cast<std::size_t>(length) > request.size() ||
      into.size() < kMaxDatagram || timeout_ms < 0 || timeout_ms > 60000) {
    return throw_type(env, "netlinkTransact(socket, request, requestLength, into, timeoutMs): bad argument");
  }
  if (!socket->fd.valid()) return throw_errno(env, "send", EBADF);
  if (length > 0) {
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const ssize_t sent = retry([&] {
      return ::sendto(socket->fd.get(), request.data(), static_cast<std::size_t>(length), 0,
                      reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
    });
    if (sent < 0) return throw_errno(env, "sendto", errno);
  }
  std::int64_t got = receive_queued(socket->fd.get(), into);
  if (got == -EAGAIN && timeout_ms > 0) {
    pollfd waiting{socket->fd.get(), POLLIN, 0};
    const int ready = retry([&] { return ::poll(&waiting, 1, static_cast<int>(timeout_ms)); });
    if (ready < 0) return throw_errno(env, "poll", errno);
    if (ready > 0) got = receive_queued(socket->fd.get(), into);
  }
  if (got == -EAGAIN) got = 0;
  if (got < 0) return throw_errno(env, "recv", static_cast<int>(-got));
  napi_value result = nullptr;
  napi_create_int64(env, got, &result);
  return result;
}

napi_value netlink_close(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  auto* socket = arguments.external<NetlinkSocket>(0, kSocketTag);
  if (socket == nullptr) return throw_type(env, "not a netlink socket");
  socket->fd.reset();
  return nullptr;
}

}  // namespace

void register_netlink(napi_env env, napi_value exports) {
  export_function(env, exports, "netlinkOpen", netlink_open);
  export_function(env, exports, "netlinkPort", netlink_port);
  export_function(env, exports, "netlinkTransact", netlink_transact);
  export_function(env, exports, "netlinkClose", netlink_close);
}

}  // namespace nodeplane

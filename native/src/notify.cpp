// Layer native. sd_notify: one datagram to the socket that the service manager named ('@' means an abstract name).
#include <sys/socket.h>
#include <sys/un.h>

#include "napi_util.hpp"

namespace nodeplane {
namespace {

/// sdNotify(path, state)
napi_value sd_notify(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  std::string path;
  std::string state;
  if (!arguments.text(0, path) || !arguments.text(1, state)) return throw_type(env, "sdNotify(path, state)");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || (path[0] != '/' && path[0] != '@') || path.size() >= sizeof address.sun_path) {
    return throw_errno(env, "connect", EINVAL);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return throw_errno(env, "socket", errno);
  // An abstract name is exactly as long as given: no trailing zero.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '@' ? 0U : 1U));
  const ssize_t sent = retry([&] {
    return ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                    size);
  });
  if (sent < 0) return throw_errno(env, "sendto", errno);
  return nullptr;
}

}  // namespace

void register_notify(napi_env env, napi_value exports) { export_function(env, exports, "sdNotify", sd_notify); }

}  // namespace nodeplane

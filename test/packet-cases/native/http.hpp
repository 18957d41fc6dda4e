// Test tool. One HTTP request, and what was answered.
#pragma once

#include <sys/time.h>

#include "socket_util.hpp"

namespace netprobe {

struct HttpAnswer {
  /// 0: there was no answer, and the body is the name of an error.
  int status = 0;
  std::string body;
};

/// Asks for `path` from the namespace that the calling thread is in. Bodies beyond 4 MiB are cut.
inline HttpAnswer http_get(const std::string& ip, unsigned port, const std::string& path, int timeout_ms) {
  constexpr std::size_t kMost = 4U << 20U;
  const Address address = address_of(ip, static_cast<std::uint16_t>(port));
  const Fd socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int fd = socket.get();
  if (fd < 0) fail("socket");
  const timeval timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1000};
  for (const int name : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(fd, SOL_SOCKET, name, &timeout, sizeof timeout) != 0) fail("setsockopt");
  }
  if (::connect(fd, address.get(), address.size) != 0) return {0, strerrorname_np(errno)};
  // Version 1.0: the answer comes in one piece and ends with the connection.
  const std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + endpoint_text(ip, port) + "\r\n\r\n";
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return {0, strerrorname_np(errno)};
  std::string answer;
  for (;;) {
    char buffer[16384];
    const auto got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) return {0, strerrorname_np(errno)};
    if (got == 0 || answer.size() > kMost) break;
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  const auto space = answer.find(' ');
  const auto end = answer.find("\r\n\r\n");
  if (answer.compare(0, 5, "HTTP/") != 0 || space == std::string::npos || end == std::string::npos) return {0, "no HTTP"};
  return {std::atoi(answer.c_str() + space), answer.substr(end + 4)};
}

}  // namespace netprobe

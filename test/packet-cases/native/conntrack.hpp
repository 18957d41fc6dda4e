// Test tool. Empties the table of connections of the namespace that the calling thread is in (ctnetlink's flush).
#pragma once

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include "socket_util.hpp"

namespace netprobe {

/// What a client says from a port that was used before is a new connection again.
inline void forget_connections() {
  struct {
    nlmsghdr header{};
    nfgenmsg body{};
  } request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  const Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (fd.get() < 0) fail("netlink socket");
  if (::send(fd.get(), &request, sizeof request, 0) < 0) fail("flush of connections");
  struct {
    nlmsghdr header{};
    nlmsgerr error{};
    std::uint8_t rest[256]{};
  } reply;
  if (::recv(fd.get(), &reply, sizeof reply, 0) < 0) fail("flush of connections");
  if (reply.header.nlmsg_type == NLMSG_ERROR && reply.error.error != 0) {
    errno = -reply.error.error;
    fail("flush of connections");
  }
}

}  // namespace netprobe

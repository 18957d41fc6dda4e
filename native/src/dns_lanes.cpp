// Layer native. See dns_lanes.hpp.
#include "dns_lanes.hpp"

#include <sys/epoll.h>

#include <algorithm>

namespace nodeplane::dns {
namespace {

constexpr std::uint32_t kMaxQueries = 5'000;
constexpr std::size_t kMaxInFlight = 4'096;
constexpr int kReceiveBytes = 1 << 20;

}  // namespace

Lanes::Lanes(std::shared_ptr<ForwardPlan> plan, int epoll, Random& random)
    : plan_(std::move(plan)), epoll_(epoll), random_(random), lanes_(plan_->upstreams.size()) {}

UpstreamSocket* Lanes::pick(std::size_t upstream, const Group& group, std::uint64_t now_ns, bool& was_there) {
  auto& socket = lanes_[upstream][random_.below(kLanes)];
  if (socket != nullptr && (socket->retire_at_ns < now_ns || socket->queries >= kMaxQueries)) retire(socket);
  if (socket != nullptr && socket->in_flight >= kMaxInFlight) retire(socket);
  was_there = socket != nullptr;
  if (was_there) return socket.get();
  auto opened = open(upstream);
  if (opened == nullptr) return nullptr;
  opened->lanes = this;
  opened->upstream = upstream;
  opened->retire_at_ns = now_ns + std::uint64_t{group.life_ms} * 1'000'000;
  socket = std::move(opened);
  return socket.get();
}

std::unique_ptr<UpstreamSocket> Lanes::open(std::size_t upstream) const {
  const Upstream& target = *plan_->upstreams[upstream];
  auto socket = std::make_unique<UpstreamSocket>();
  socket->fd = UniqueFd(::socket(target.to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = socket->fd.get();
  if (fd < 0) return nullptr;
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof kReceiveBytes);
  // The system chooses a port at random when the socket is bound or connected.
  if (target.has_source && ::bind(fd, reinterpret_cast<const sockaddr*>(&target.from), target.to_bytes) != 0) return nullptr;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&target.to), target.to_bytes) != 0) return nullptr;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = socket.get();
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return nullptr;
  return socket;
}

void Lanes::retire(std::unique_ptr<UpstreamSocket>& socket) {
  socket->is_retired = true;
  retired_.push_back(std::move(socket));
}

void Lanes::close(UpstreamSocket& socket) {
  socket.fd.reset();
  socket.queue.clear();
  if (socket.is_retired) return;
  for (auto& lane : lanes_[socket.upstream]) {
    if (lane.get() == &socket) retire(lane);
  }
}

void Lanes::sweep() {
  std::erase_if(retired_, [](const auto& socket) { return socket->in_flight == 0 && !socket->is_dirty; });
}

}  // namespace nodeplane::dns

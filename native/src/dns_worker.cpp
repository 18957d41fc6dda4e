// Layer native. See dns_worker.hpp. The loop: wait, read a batch, look up and write replies in place, send the batch.
#include "dns_worker.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

namespace nodeplane::dns {
namespace {

constexpr std::size_t kBatch = 64;
/// Batches of one socket before the others are looked at.
constexpr std::size_t kTurns = 16;
constexpr std::size_t kControl = CMSG_SPACE(sizeof(in6_pktinfo));
/// Not a multiple of 4096: buffers that begin at the same place of their pages push each other out of the first cache.
constexpr std::size_t kStride = kMaxUdp + 5 * 64;

std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint16_t port_of(int family, const sockaddr_storage& peer) {
  return ntohs(family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&peer)->sin_port
                                 : reinterpret_cast<const sockaddr_in6*>(&peer)->sin6_port);
}

/// Makes the control data of a query that of its reply: from the address asked, by whatever route.
void turn_around(msghdr& message, PacketHead* head) {
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(item), sizeof info);
      info.ipi_ifindex = 0;
      std::memcpy(CMSG_DATA(item), &info, sizeof info);
      if (head != nullptr) std::memcpy(head->local.data(), &info.ipi_spec_dst, 4);
    } else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(item), sizeof info);
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      std::memcpy(CMSG_DATA(item), &info, sizeof info);
      if (head == nullptr) continue;
      std::memcpy(head->local.data(), &info.ipi6_addr, 16);
      head->interface = static_cast<std::uint32_t>(info.ipi6_ifindex);
    }
  }
}

}  // namespace

struct Worker::Batch {
  std::array<mmsghdr, kBatch> in{};
  std::array<mmsghdr, kBatch> out{};
  std::array<iovec, kBatch> in_data{};
  std::array<iovec, kBatch> out_data{};
  std::array<sockaddr_storage, kBatch> peers{};
  alignas(cmsghdr) std::array<std::array<char, kControl>, kBatch> controls{};
  std::array<std::array<std::uint8_t, kStride>, kBatch> packets{};
  std::array<std::array<std::uint8_t, kStride>, kBatch> replies{};
  /// Messages of `in` that a read has changed.
  std::size_t used = kBatch;

  void prepare(bool with_control) {
    for (std::size_t i = 0; i < used; i++) {
      in_data[i] = {packets[i].data(), kMaxUdp};
      msghdr& message = in[i].msg_hdr;
      message = {};
      message.msg_name = &peers[i];
      message.msg_namelen = sizeof peers[i];
      message.msg_iov = &in_data[i];
      message.msg_iovlen = 1;
      message.msg_control = with_control ? controls[i].data() : nullptr;
      message.msg_controllen = with_control ? kControl : 0;
    }
    used = 0;
  }
};

bool Worker::start() {
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_.valid() || !forwarder_.start()) return false;
  reader_ = data_.epochs.add_reader();
  if (reader_ < 0) return false;
  if (::getrandom(&random_, sizeof random_, 0) != sizeof random_ || random_ == 0) random_ = 0x9e3779b97f4a7c15ULL;
  thread_ = std::thread([this] { run(); });
  return true;
}

void Worker::stop() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    (void)retry([&] { return ::write(stop_.get(), &one, sizeof one); });
    thread_.join();
  }
  if (reader_ >= 0) data_.epochs.remove_reader(reader_);
  reader_ = -1;
  sockets_.clear();
}

int Worker::socket(int family) const {
  for (const auto& socket : sockets_) {
    if (socket.family == family) return socket.fd.get();
  }
  return -1;
}

void Worker::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), "dns-engine");
  const auto batch = std::make_unique<Batch>();
  std::vector<pollfd> waiting;
  // One form of messages is prepared: a thread's sockets are all for one address or all for any.
  for (const auto& socket : sockets_) waiting.push_back({socket.fd.get(), POLLIN, 0});
  waiting.push_back({forwarder_.fd(), POLLIN, 0});
  waiting.push_back({stop_.get(), POLLIN, 0});
  for (;;) {
    const int patience = forwarder_.patience(nanoseconds(CLOCK_MONOTONIC));
    if (retry([&] { return ::poll(waiting.data(), waiting.size(), patience); }) < 0) return;
    if (waiting.back().revents != 0) return;
    if (waiting[sockets_.size()].revents != 0 || patience >= 0) {
      const std::uint64_t now = nanoseconds(CLOCK_MONOTONIC);
      if (waiting[sockets_.size()].revents != 0) forwarder_.on_replies(now);
      forwarder_.on_time(now);
      forwarder_.finish(now);
    }
    for (std::size_t i = 0; i < sockets_.size(); i++) {
      if (waiting[i].revents != 0) serve(sockets_[i], *batch);
    }
  }
}

void Worker::serve(const Socket& socket, Batch& batch) {
  const int family = socket.family;
  const int fd = socket.fd.get();
  for (std::size_t turn = 0; turn < kTurns; turn++) {
    batch.prepare(!socket.has_own_address);
    const int got = ::recvmmsg(fd, batch.in.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (got <= 0) return;
    batch.used = static_cast<std::size_t>(got);
    const std::uint64_t started = nanoseconds(CLOCK_MONOTONIC);
    const std::int64_t now_ms = static_cast<std::int64_t>(nanoseconds(CLOCK_REALTIME) / 1'000'000);
    std::size_t replies = 0;
    std::array<std::uint16_t, kBatch> slots;
    data_.epochs.enter(reader_);
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); i++) {
      counters_.received.add();
      msghdr& message = batch.in[i].msg_hdr;
      if (port_of(family, batch.peers[i]) == 0) continue;
      const std::span<const std::uint8_t> packet(batch.packets[i].data(), batch.in[i].msg_len);
      Query query;
      const bool is_query = parse_query(packet, query);
      const Answered answered = is_query ? answer(query, now_ms, batch.replies[replies].data()) : Answered{};
      if (answered.bytes == 0) {
        const PacketHead head = head_of(socket, batch.peers[i], message, packet.size());
        const Config& config = data_.names.config();
        if (!is_query || !forwarder_.take(config, query, packet, {head, fd, started, now_ms})) hand_up(head, packet);
        continue;
      }
      turn_around(message, nullptr);
      batch.out_data[replies] = {batch.replies[replies].data(), answered.bytes};
      batch.out[replies].msg_hdr = message;
      batch.out[replies].msg_hdr.msg_iov = &batch.out_data[replies];
      batch.out[replies].msg_hdr.msg_flags = 0;
      slots[replies] = answered.counter;
      count_answer(counters_, answered.counter, query, packet.size(), answered.bytes, family == AF_INET6);
      replies++;
    }
    data_.epochs.leave(reader_);
    const std::uint64_t took = nanoseconds(CLOCK_MONOTONIC) - started;
    const std::size_t bucket = duration_bucket(took);
    for (std::size_t i = 0; i < replies; i++) {
      Slot& slot = counters_.slots[slots[i]];
      slot.nanoseconds.add(took);
      slot.durations[bucket].add();
    }
    for (std::size_t sent = 0; sent < replies;) {
      const int done = retry([&] {
        return ::sendmmsg(fd, &batch.out[sent], static_cast<unsigned>(replies - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
      });
      // The first of the rest cannot be sent: it is lost, as on the way.
      if (done <= 0) counters_.send_failed.add();
      sent += done <= 0 ? 1 : static_cast<std::size_t>(done);
    }
    forwarder_.finish(started);
    if (static_cast<std::size_t>(got) < kBatch) return;
  }
}

/// Names of clusters first; then what the chain said before.
Answered Worker::answer(const Query& query, std::int64_t now_ms, std::uint8_t* out) {
  const Answered known = answer_from_names(data_.names, query, listener_, data_.table.serial(), random_, out);
  if (known.bytes > 0) return known;
  const Entry* entry = data_.table.find(query, listener_, now_ms);
  if (entry == nullptr) return {};
  return {build_reply(*entry, query, {now_ms, data_.table.serial()}, random_, out), entry->counter};
}

PacketHead Worker::head_of(const Socket& socket, const sockaddr_storage& peer, msghdr& message, std::size_t bytes) {
  const int family = socket.family;
  PacketHead head{};
  head.local = socket.address;
  head.bytes = static_cast<std::uint16_t>(bytes);
  head.listener = listener_;
  head.family = family == AF_INET ? 4 : 6;
  head.port = port_of(family, peer);
  if (family == AF_INET) {
    std::memcpy(head.client.data(), &reinterpret_cast<const sockaddr_in*>(&peer)->sin_addr, 4);
  } else {
    const auto* address = reinterpret_cast<const sockaddr_in6*>(&peer);
    std::memcpy(head.client.data(), &address->sin6_addr, 16);
    head.scope = address->sin6_scope_id;
  }
  turn_around(message, &head);
  return head;
}

void Worker::hand_up(const PacketHead& head, std::span<const std::uint8_t> packet) {
  (queue_.push(head, packet, wake_) ? counters_.handed_up : counters_.overload).add();
}

}  // namespace nodeplane::dns

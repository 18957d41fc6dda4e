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

std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
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
  std::array<std::array<std::uint8_t, kMaxUdp>, kBatch> packets{};
  std::array<std::array<std::uint8_t, kMaxUdp>, kBatch> replies{};
  std::array<const Entry*, kBatch> entries{};
};

bool Worker::start() {
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_.valid()) return false;
  reader_ = table_.add_reader();
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
  if (reader_ >= 0) table_.remove_reader(reader_);
  reader_ = -1;
  sockets_.clear();
}

int Worker::socket(int family) const {
  for (const auto& [known, fd] : sockets_) {
    if (known == family) return fd.get();
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
  for (const auto& socket : sockets_) waiting.push_back({socket.second.get(), POLLIN, 0});
  waiting.push_back({stop_.get(), POLLIN, 0});
  for (;;) {
    if (retry([&] { return ::poll(waiting.data(), waiting.size(), -1); }) < 0) return;
    if (waiting.back().revents != 0) return;
    for (std::size_t i = 0; i < sockets_.size(); i++) {
      if (waiting[i].revents != 0) serve(sockets_[i].first, sockets_[i].second.get(), *batch);
    }
  }
}

void Worker::serve(int family, int fd, Batch& batch) {
  for (std::size_t turn = 0; turn < kTurns; turn++) {
    for (std::size_t i = 0; i < kBatch; i++) {
      batch.in_data[i] = {batch.packets[i].data(), kMaxUdp};
      msghdr& message = batch.in[i].msg_hdr;
      message = {};
      message.msg_name = &batch.peers[i];
      message.msg_namelen = sizeof batch.peers[i];
      message.msg_iov = &batch.in_data[i];
      message.msg_iovlen = 1;
      message.msg_control = batch.controls[i].data();
      message.msg_controllen = kControl;
    }
    const int got = ::recvmmsg(fd, batch.in.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (got <= 0) return;
    const std::uint64_t started = nanoseconds(CLOCK_MONOTONIC);
    const Moment moment = {static_cast<std::int64_t>(nanoseconds(CLOCK_REALTIME) / 1'000'000), table_.serial()};
    std::size_t replies = 0;
    std::array<std::uint16_t, kBatch> slots{};
    table_.enter(reader_);
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); i++) {
      counters_.received.add();
      msghdr& message = batch.in[i].msg_hdr;
      const auto& peer = batch.peers[i];
      const std::uint16_t port = ntohs(family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&peer)->sin_port
                                                         : reinterpret_cast<const sockaddr_in6*>(&peer)->sin6_port);
      if (port == 0) continue;
      const std::span<const std::uint8_t> packet(batch.packets[i].data(), batch.in[i].msg_len);
      Query query;
      const Entry* entry = nullptr;
      if (parse_query(packet, query)) entry = table_.find(query, listener_, moment.now_ms);
      const std::size_t size =
          entry == nullptr ? 0 : build_reply(*entry, query, moment, random_, batch.replies[replies].data());
      if (size == 0) {
        PacketHead head{};
        head.bytes = static_cast<std::uint16_t>(packet.size());
        head.listener = listener_;
        head.family = family == AF_INET ? 4 : 6;
        head.port = port;
        if (family == AF_INET) {
          std::memcpy(head.client.data(), &reinterpret_cast<const sockaddr_in*>(&peer)->sin_addr, 4);
        } else {
          const auto* address = reinterpret_cast<const sockaddr_in6*>(&peer);
          std::memcpy(head.client.data(), &address->sin6_addr, 16);
          head.scope = address->sin6_scope_id;
        }
        turn_around(message, &head);
        (queue_.push(head, packet.data(), wake_) ? counters_.handed_up : counters_.overload).add();
        continue;
      }
      turn_around(message, nullptr);
      batch.out_data[replies] = {batch.replies[replies].data(), size};
      batch.out[replies].msg_hdr = message;
      batch.out[replies].msg_hdr.msg_iov = &batch.out_data[replies];
      batch.out[replies].msg_hdr.msg_flags = 0;
      slots[replies] = entry->counter;
      std::size_t sizes[2] = {packet.size(), size};
      count(*entry, query, sizes, family);
      replies++;
    }
    table_.leave(reader_);
    const std::uint64_t took = nanoseconds(CLOCK_MONOTONIC) - started;
    for (std::size_t i = 0; i < replies; i++) {
      Slot& slot = counters_.slots[slots[i]];
      slot.nanoseconds.add(took);
      slot.durations[duration_bucket(took)].add();
    }
    for (std::size_t sent = 0; sent < replies;) {
      const int done = retry([&] {
        return ::sendmmsg(fd, &batch.out[sent], static_cast<unsigned>(replies - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
      });
      // The first of the rest cannot be sent: it is lost, as on the way.
      if (done <= 0) counters_.send_failed.add();
      sent += done <= 0 ? 1 : static_cast<std::size_t>(done);
    }
    if (static_cast<std::size_t>(got) < kBatch) return;
  }
}

void Worker::count(const Entry& entry, const Query& query, std::size_t sizes[2], int family) {
  counters_.answered.add();
  Slot& slot = counters_.slots[entry.counter];
  slot.families[family == AF_INET ? 0 : 1].add();
  if (query.dnssec_ok) slot.dnssec.add();
  slot.request_bytes.add(sizes[0]);
  slot.reply_bytes.add(sizes[1]);
  slot.request_sizes[size_bucket(sizes[0])].add();
  slot.reply_sizes[size_bucket(sizes[1])].add();
}

}  // namespace nodeplane::dns

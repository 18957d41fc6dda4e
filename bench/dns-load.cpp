// Bench tool: load for DNS servers over UDP on loopback, and the floor that they are measured against.
//   dnsload serve PORT                      answers every query with one A record: recvmmsg, sendmmsg, nothing else
//   dnsload send PORT SECONDS WINDOW FILE [RATE]   keeps WINDOW queries in flight, or sends RATE a second with at most
//                                           WINDOW in flight; FILE holds packets, each behind two octets of length, asked
//                                           in turn (SECONDS 0: each once); prints "sent answered bad p50_us p99_us"
//   dnsload soak PORT SECONDS WINDOW FILE STATE COUNT   the same; the first COUNT packets ask for the IPv4 address of
//                                           services that change, every second query: its last 24 bits are a version that
//                                           must lie between STATE's second number of the service (two u32 each, host order:
//                                           begun, done) at the query and its first at the reply; prints also "stale"
// Every answer is checked: identifier, question octet by octet, QR set, rcode NOERROR or NXDOMAIN.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string_view>
#include <vector>

namespace {

constexpr unsigned kBatch = 64;
constexpr std::size_t kPacket = 1500;
constexpr std::size_t kIds = 65536;

std::uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Batch {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> data{};
  std::array<sockaddr_in, kBatch> peers{};
  std::array<std::array<std::uint8_t, kPacket>, kBatch> packets{};

  void prepare(bool with_peer) {
    for (unsigned i = 0; i < kBatch; i++) {
      data[i] = {packets[i].data(), kPacket};
      messages[i].msg_hdr = {};
      messages[i].msg_hdr.msg_iov = &data[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      if (!with_peer) continue;
      messages[i].msg_hdr.msg_name = &peers[i];
      messages[i].msg_hdr.msg_namelen = sizeof peers[i];
    }
  }
};

std::size_t question_end(const std::uint8_t* packet, std::size_t size) {
  std::size_t at = 12;
  while (at < size && packet[at] != 0) at += packet[at] + 1U;
  return std::min(at + 5, size);
}

int serve(int port) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind");
  static Batch batch;
  const std::uint8_t record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 10, 0, 0, 1};
  for (;;) {
    batch.prepare(true);
    const int got = ::recvmmsg(fd, batch.messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (got < 0) fail("recvmmsg");
    for (int i = 0; i < got; i++) {
      std::uint8_t* packet = batch.packets[static_cast<std::size_t>(i)].data();
      const std::size_t end = question_end(packet, batch.messages[static_cast<std::size_t>(i)].msg_len);
      packet[2] |= 0x84;
      packet[7] = 1;
      packet[11] = 0;
      std::memcpy(packet + end, record, sizeof record);
      batch.data[static_cast<std::size_t>(i)].iov_len = end + sizeof record;
    }
    for (int sent = 0; sent < got;) {
      const int done = ::sendmmsg(fd, &batch.messages[static_cast<std::size_t>(sent)], static_cast<unsigned>(got - sent), 0);
      sent += done <= 0 ? 1 : done;
    }
  }
}

std::vector<std::vector<std::uint8_t>> read_packets(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::vector<std::uint8_t>> packets;
  for (std::size_t at = 0; at + 2 <= bytes.size();) {
    const std::size_t size = bytes[at] * 256U + bytes[at + 1];
    at += 2;
    if (size < 17 || size > kPacket || at + size > bytes.size()) std::exit(2);
    packets.emplace_back(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                         bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  }
  return packets;
}

/// Versions of the services that change, shared with who changes them.
class Versions {
 public:
  void open(const char* path, std::size_t count) {
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail("open");
    void* memory = ::mmap(nullptr, count * sizeof(Pair), PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) fail("mmap");
    pairs_ = static_cast<const volatile Pair*>(memory);
    count_ = count;
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::uint32_t begun(std::size_t i) const { return pairs_[i].begun; }
  [[nodiscard]] std::uint32_t done(std::size_t i) const { return pairs_[i].done; }

 private:
  struct Pair {
    std::uint32_t begun;
    std::uint32_t done;
  };
  const volatile Pair* pairs_ = nullptr;
  std::size_t count_ = 0;
};

/// The last 24 bits of the only A record; -1 for any other answer.
long version_of(const std::uint8_t* reply, std::size_t size, std::size_t question) {
  if (size < question + 16 || (reply[3] & 15) != 0 || reply[6] != 0 || reply[7] != 1) return -1;
  const std::uint8_t* record = reply + question;
  if (record[3] != 1 || record[11] != 4) return -1;
  return record[13] * 65536L + record[14] * 256L + record[15];
}

struct Sent {
  std::uint64_t at = 0;
  std::uint32_t packet = 0;
  std::uint32_t done = 0;
};

class Load {
 public:
  Load(int port, unsigned window, const char* path) : window_(window), packets_(read_packets(path)), sent_(kIds) {
    if (packets_.empty()) std::exit(2);
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("connect");
  }

  Versions& versions() { return versions_; }

  /// @param rate queries a second; 0: as many as the window allows
  void run(double seconds, double rate) {
    const bool is_once = seconds == 0;
    const std::uint64_t start = now_ns();
    const std::uint64_t end = start + static_cast<std::uint64_t>((is_once ? 600 : seconds) * 1e9);
    std::uint64_t before = start;
    double due = 1;
    for (std::uint64_t now = start; now < end; now = now_ns()) {
      std::uint64_t most = is_once ? packets_.size() : ~0ULL;
      due += static_cast<double>(std::min(now - before, kMaxGapNs)) * rate / 1e9;
      before = now;
      if (rate > 0) most = std::min(most, static_cast<std::uint64_t>(due));
      if (is_once && total_ >= most && in_flight_ == 0) return;
      send_some(most, now);
      pollfd waiting = {fd_, POLLIN, 0};
      const int wait_ms = rate > 0 ? 0 : 200;
      // Lost ones are forgotten, so that the window does not close.
      if (::poll(&waiting, 1, wait_ms) == 0 && now - last_ns_ > 200'000'000) in_flight_ = 0;
      receive();
    }
  }

  void print(bool with_stale) {
    std::sort(times_.begin(), times_.end());
    const auto at = [&](double share) {
      return times_.empty() ? 0U : times_[static_cast<std::size_t>(share * static_cast<double>(times_.size() - 1))];
    };
    std::printf("%llu %llu %llu %u %u", static_cast<unsigned long long>(total_),
                static_cast<unsigned long long>(counted_), static_cast<unsigned long long>(bad_), at(0.5), at(0.99));
    if (with_stale) std::printf(" %llu", static_cast<unsigned long long>(stale_));
    std::puts("");
  }

 private:
  std::uint32_t next_packet() {
    const std::uint64_t turn = total_ / 2;
    if (versions_.count() > 0 && total_ % 2 == 0) return static_cast<std::uint32_t>(turn % versions_.count());
    return static_cast<std::uint32_t>((versions_.count() > 0 ? turn : total_) % packets_.size());
  }

  void send_some(std::uint64_t most, std::uint64_t now) {
    unsigned ready = 0;
    while (in_flight_ + ready < window_ && ready < kBatch && total_ < most) {
      const std::uint32_t index = next_packet();
      const auto& packet = packets_[index];
      const std::size_t id = total_ % kIds;
      std::memcpy(out_.packets[ready].data(), packet.data(), packet.size());
      out_.packets[ready][0] = static_cast<std::uint8_t>(id >> 8);
      out_.packets[ready][1] = static_cast<std::uint8_t>(id);
      sent_[id] = {now, index, index < versions_.count() ? versions_.done(index) : 0};
      out_.data[ready] = {out_.packets[ready].data(), packet.size()};
      out_.messages[ready].msg_hdr = {};
      out_.messages[ready].msg_hdr.msg_iov = &out_.data[ready];
      out_.messages[ready].msg_hdr.msg_iovlen = 1;
      ready++;
      total_++;
    }
    for (unsigned done = 0; done < ready;) {
      const int some = ::sendmmsg(fd_, &out_.messages[done], ready - done, 0);
      if (some <= 0) fail("sendmmsg");
      done += static_cast<unsigned>(some);
    }
    if (ready > 0) last_ns_ = now;
    in_flight_ += ready;
  }

  void receive() {
    in_.prepare(false);
    const int got = ::recvmmsg(fd_, in_.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    const std::uint64_t now = now_ns();
    for (int i = 0; i < got; i++) {
      take(in_.packets[static_cast<std::size_t>(i)].data(), in_.messages[static_cast<std::size_t>(i)].msg_len, now);
    }
    if (got > 0) last_ns_ = now;
  }

  void take(const std::uint8_t* reply, std::size_t size, std::uint64_t now) {
    Sent& sent = sent_[reply[0] * 256U + reply[1]];
    const auto& packet = packets_[sent.packet];
    const std::size_t question = question_end(packet.data(), packet.size());
    const bool is_good = size >= question && sent.at != 0 && (reply[2] & 0x80) != 0 &&
                         ((reply[3] & 15) == 0 || (reply[3] & 15) == 3) &&
                         std::memcmp(reply + 12, packet.data() + 12, question - 12) == 0;
    if (in_flight_ > 0) in_flight_--;
    if (!is_good) {
      bad_++;
    } else {
      counted_++;
      if (times_.size() < kMaxTimes) times_.push_back(static_cast<std::uint32_t>((now - sent.at) / 1000));
      if (sent.packet < versions_.count()) {
        const long version = version_of(reply, size, question);
        if (version < static_cast<long>(sent.done) || version > static_cast<long>(versions_.begun(sent.packet))) stale_++;
      }
    }
    sent.at = 0;
  }

  static constexpr std::size_t kMaxTimes = 20'000'000;
  /// What is due while this process does not run is not made up for: the wait behind such a burst is no fault of the server.
  static constexpr std::uint64_t kMaxGapNs = 500'000;
  unsigned window_;
  std::vector<std::vector<std::uint8_t>> packets_;
  std::vector<Sent> sent_;
  std::vector<std::uint32_t> times_;
  Versions versions_;
  Batch in_;
  Batch out_;
  int fd_ = -1;
  unsigned in_flight_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t counted_ = 0;
  std::uint64_t bad_ = 0;
  std::uint64_t stale_ = 0;
  std::uint64_t last_ns_ = 0;
};

}  // namespace

int main(int count, char** values) {
  const std::string_view mode = count > 1 ? values[1] : "";
  if (mode == "serve" && count == 3) return serve(std::atoi(values[2]));
  const bool is_soak = mode == "soak" && count == 8;
  if (is_soak || (mode == "send" && (count == 6 || count == 7))) {
    const auto load = std::make_unique<Load>(std::atoi(values[2]), static_cast<unsigned>(std::atoi(values[4])), values[5]);
    if (is_soak) load->versions().open(values[6], static_cast<std::size_t>(std::atoi(values[7])));
    load->run(std::atof(values[3]), count == 7 ? std::atof(values[6]) : 0);
    load->print(is_soak);
    return 0;
  }
  std::fputs("dnsload serve PORT | send PORT SECONDS WINDOW FILE [RATE] | soak PORT SECONDS WINDOW FILE STATE COUNT\n", stderr);
  return 2;
}

// Bench tool: load for DNS servers over UDP on loopback, and the floor that they are measured against.
//   dnsload serve PORT                      answers every query with one A record: recvmmsg, sendmmsg, nothing else
//   dnsload send PORT SECONDS WINDOW FILE   keeps WINDOW queries in flight; FILE holds packets, each behind two octets of
//                                           length; prints "sent answered bad p50_us p99_us"
// Every answer is checked: identifier, question octet by octet, QR set, rcode NOERROR or NXDOMAIN.
#include <netinet/in.h>
#include <poll.h>
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

int send_load(int port, double seconds, unsigned window, const char* path) {
  const auto packets = read_packets(path);
  if (packets.empty()) return 2;
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("connect");
  static Batch in;
  static Batch out;
  std::vector<std::uint64_t> sent_at(kIds, 0);
  std::vector<std::uint32_t> which(kIds, 0);
  std::vector<std::uint32_t> times;
  std::uint64_t sent = 0;
  std::uint64_t bad = 0;
  std::uint64_t counted = 0;
  unsigned in_flight = 0;
  const std::uint64_t start = now_ns();
  const std::uint64_t end = start + static_cast<std::uint64_t>(seconds * 1e9);
  for (std::uint64_t now = start; now < end; now = now_ns()) {
    unsigned ready = 0;
    while (in_flight + ready < window && ready < kBatch) {
      const auto& packet = packets[sent % packets.size()];
      const std::size_t id = sent % kIds;
      std::memcpy(out.packets[ready].data(), packet.data(), packet.size());
      out.packets[ready][0] = static_cast<std::uint8_t>(id >> 8);
      out.packets[ready][1] = static_cast<std::uint8_t>(id);
      sent_at[id] = now;
      which[id] = static_cast<std::uint32_t>(sent % packets.size());
      out.data[ready] = {out.packets[ready].data(), packet.size()};
      out.messages[ready].msg_hdr = {};
      out.messages[ready].msg_hdr.msg_iov = &out.data[ready];
      out.messages[ready].msg_hdr.msg_iovlen = 1;
      ready++;
      sent++;
    }
    for (unsigned done = 0; done < ready;) {
      const int some = ::sendmmsg(fd, &out.messages[done], ready - done, 0);
      if (some <= 0) return 3;
      done += static_cast<unsigned>(some);
    }
    in_flight += ready;
    pollfd waiting = {fd, POLLIN, 0};
    // Lost ones are forgotten, so that the window does not close.
    if (::poll(&waiting, 1, 200) == 0) in_flight = 0;
    in.prepare(false);
    const int got = ::recvmmsg(fd, in.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    now = now_ns();
    for (int i = 0; i < got; i++) {
      const std::uint8_t* reply = in.packets[static_cast<std::size_t>(i)].data();
      const std::size_t size = in.messages[static_cast<std::size_t>(i)].msg_len;
      const std::size_t id = reply[0] * 256U + reply[1];
      const auto& packet = packets[which[id]];
      const std::size_t question = question_end(packet.data(), packet.size());
      const bool is_good = size >= question && sent_at[id] != 0 && (reply[2] & 0x80) != 0 &&
                           ((reply[3] & 15) == 0 || (reply[3] & 15) == 3) &&
                           std::memcmp(reply + 12, packet.data() + 12, question - 12) == 0;
      if (!is_good) bad++;
      if (in_flight > 0) in_flight--;
      if (is_good) {
        counted++;
        times.push_back(static_cast<std::uint32_t>((now - sent_at[id]) / 1000));
      }
      sent_at[id] = 0;
    }
  }
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) { return times.empty() ? 0U : times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))]; };
  std::printf("%llu %llu %llu %u %u\n", static_cast<unsigned long long>(sent), static_cast<unsigned long long>(counted),
              static_cast<unsigned long long>(bad), at(0.5), at(0.99));
  return 0;
}

}  // namespace

int main(int count, char** values) {
  if (count == 3 && std::strcmp(values[1], "serve") == 0) return serve(std::atoi(values[2]));
  if (count == 6 && std::strcmp(values[1], "send") == 0) {
    return send_load(std::atoi(values[2]), std::atof(values[3]), static_cast<unsigned>(std::atoi(values[4])), values[5]);
  }
  std::fputs("dnsload serve PORT | send PORT SECONDS WINDOW FILE\n", stderr);
  return 2;
}

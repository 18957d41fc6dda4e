// Benchmark `connect`: a server that accepts and closes, a client that times connect() alone. Pinned to different cores.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

double now_us() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

int serve(int port) {
  pin(1);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 4096) != 0) return 1;
  for (;;) {
    const int connection = accept(listener, nullptr, nullptr);
    if (connection < 0) continue;
    char byte = 0;
    (void)!read(connection, &byte, 1);
    close(connection);
  }
}

int connect_many(const char* host, int port, int count) {
  pin(0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) return 2;
  std::vector<double> times;
  for (int i = 0; i < count + count / 10; i++) {
    const int connection = socket(AF_INET, SOCK_STREAM, 0);
    const double start = now_us();
    if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::perror("connect");
      return 1;
    }
    const double took = now_us() - start;
    if (i >= count / 10) times.push_back(took);
    // Reset instead of TIME_WAIT: ports last for any number of rounds.
    const linger reset{1, 0};
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(connection);
  }
  std::sort(times.begin(), times.end());
  std::printf("{\"p50\":%.2f,\"p99\":%.2f}\n", times[times.size() / 2], times[times.size() * 99 / 100]);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::strcmp(arguments[1], "server") == 0) return serve(std::atoi(arguments[2]));
  if (count == 5 && std::strcmp(arguments[1], "client") == 0)
    return connect_many(arguments[2], std::atoi(arguments[3]), std::atoi(arguments[4]));
  return 2;
}

// Test tool. Listens and connects in many network namespaces from one process, as its standard input says:
//   listen ID NETNS TCP|UDP|SCTP IP PORT LABEL
//   close ID
//   probe ID NETNS TCP|UDP|SCTP|ICMP SOURCE|- DESTINATION PORT COUNT TIMEOUT_MS
//   http ID NETNS IP PORT PATH TIMEOUT_MS
//   forget ID NETNS
// Each command is answered by one line "ID {…}": {"ok":true}, {"error":"…"}, {"outcomes":{"…":N}} or
// {"status":N,"body":"…"}. Probes and requests run side by side. Ends with its input.
#include <iostream>
#include <sstream>

#include "conntrack.hpp"
#include "http.hpp"
#include "listeners.hpp"
#include "probes.hpp"

namespace {

std::mutex output;

void reply(const std::string& id, const std::string& json) {
  const std::lock_guard lock(output);
  std::cout << id << ' ' << json << '\n' << std::flush;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 32) out += c;
    else if (c == '\n') out += "\\n";
    else out += '?';
  }
  return out + "\"";
}

/// Runs `body` in a thread that is in `netns`, and answers with its result.
template <typename Body>
std::thread in_namespace(const std::string& id, const std::string& netns, Body body) {
  return std::thread([id, netns, body] {
    try {
      netprobe::enter(netns);
      reply(id, body());
    } catch (const std::exception& error) {
      reply(id, "{\"error\":" + quoted(error.what()) + "}");
    }
  });
}

std::string outcomes_json(const netprobe::Outcomes& outcomes) {
  std::string json;
  for (const auto& [outcome, count] : outcomes) {
    json += (json.empty() ? "" : ",") + quoted(outcome) + ":" + std::to_string(count);
  }
  return "{\"outcomes\":{" + json + "}}";
}

}  // namespace

int main() {
  netprobe::Listeners listeners;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb;
    std::string id;
    std::string netns;
    std::string proto;
    words >> verb >> id;
    try {
      if (verb == "listen") {
        std::string ip;
        std::string label;
        unsigned port = 0;
        words >> netns >> proto >> ip >> port >> label;
        if (!words) throw std::runtime_error("bad command");
        in_namespace(id, netns, [&] {
          listeners.open(id, netprobe::proto_of(proto), ip, port, label);
          return std::string("{\"ok\":true}");
        }).join();
      } else if (verb == "close") {
        listeners.close(id);
        reply(id, "{\"ok\":true}");
      } else if (verb == "probe") {
        netprobe::Probe probe;
        words >> netns >> proto >> probe.source >> probe.destination >> probe.port >> probe.count >> probe.timeout_ms;
        if (!words) throw std::runtime_error("bad command");
        probe.proto = netprobe::proto_of(proto);
        in_namespace(id, netns, [probe] { return outcomes_json(netprobe::Prober(probe).run()); }).detach();
      } else if (verb == "http") {
        std::string ip;
        std::string path;
        unsigned port = 0;
        int timeout_ms = 0;
        words >> netns >> ip >> port >> path >> timeout_ms;
        if (!words) throw std::runtime_error("bad command");
        in_namespace(id, netns, [=] {
          const auto [status, body] = netprobe::http_get(ip, port, path, timeout_ms);
          return "{\"status\":" + std::to_string(status) + ",\"body\":" + quoted(body) + "}";
        }).detach();
      } else if (verb == "forget") {
        words >> netns;
        if (!words) throw std::runtime_error("bad command");
        in_namespace(id, netns, [] {
          netprobe::forget_connections();
          return std::string("{\"ok\":true}");
        }).join();
      } else {
        throw std::runtime_error("unknown command " + verb);
      }
    } catch (const std::exception& error) {
      reply(id.empty() ? "-" : id, "{\"error\":" + quoted(error.what()) + "}");
    }
  }
  std::_Exit(0);
}

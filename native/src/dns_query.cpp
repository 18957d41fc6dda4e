// Layer native. See dns_query.hpp.
#include "dns_query.hpp"

#include "dns_types.hpp"

namespace nodeplane::dns {
namespace {

/// A cookie is answered with a cookie (RFC 7873): the chain's work.
constexpr std::uint16_t kOptionCookie = 10;
/// QR, opcode, AA, TC, RA, Z and rcode: not set in a plain query.
constexpr std::uint16_t kPlainMask = 0xfe4f;

/// An OPT record that ends the packet, with well-formed options that ask for nothing over UDP.
bool parse_opt(std::span<const std::uint8_t> rest, Query& out) {
  if (rest.size() < kOptBytes || rest[0] != 0 || read_u16(&rest[1]) != kOpt) return false;
  if (rest[5] != 0 || rest[6] != 0) return false;
  const std::size_t data = read_u16(&rest[9]);
  if (rest.size() != kOptBytes + data) return false;
  std::size_t at = kOptBytes;
  while (at < rest.size()) {
    if (rest.size() - at < 4) return false;
    const std::size_t option = read_u16(&rest[at + 2]);
    if (rest.size() - at - 4 < option || read_u16(&rest[at]) == kOptionCookie) return false;
    at += 4 + option;
  }
  const std::size_t size = read_u16(&rest[3]);
  out.has_edns = true;
  out.dnssec_ok = (rest[7] & 0x80) != 0;
  out.limit = size < kMinUdp ? kMinUdp : size > kMaxUdp ? kMaxUdp : size;
  return true;
}

}  // namespace

std::size_t name_length(std::span<const std::uint8_t> bytes) {
  std::size_t at = 0;
  while (at < bytes.size() && at < kMaxName) {
    const std::size_t label = bytes[at];
    if (label == 0) return at + 1;
    if (label > 63) return 0;
    at += label + 1;
  }
  return 0;
}

bool parse_query(std::span<const std::uint8_t> packet, Query& out) {
  if (packet.size() < kHeaderBytes + 5) return false;
  out.id = read_u16(&packet[0]);
  out.flags = read_u16(&packet[2]);
  if ((out.flags & kPlainMask) != 0) return false;
  const std::size_t additional = read_u16(&packet[10]);
  if (read_u16(&packet[4]) != 1 || read_u16(&packet[6]) != 0 || read_u16(&packet[8]) != 0 || additional > 1) {
    return false;
  }
  const auto body = packet.subspan(kHeaderBytes);
  out.name_bytes = name_length(body);
  if (out.name_bytes == 0 || body.size() < out.name_bytes + 4) return false;
  out.name = body.data();
  for (std::size_t i = 0; i < out.name_bytes; i++) out.lower[i] = lower_octet(body[i]);
  out.type = read_u16(&body[out.name_bytes]);
  if (read_u16(&body[out.name_bytes + 2]) != kClassIn) return false;
  const auto rest = body.subspan(out.name_bytes + 4);
  out.has_edns = false;
  out.dnssec_ok = false;
  out.limit = kMinUdp;
  if (additional == 0 ? !rest.empty() : !parse_opt(rest, out)) return false;
  out.key_flags = static_cast<std::uint8_t>(((out.flags & 0x0100) != 0 ? kRecursion : 0) |
                                            ((out.flags & 0x0010) != 0 ? kChecking : 0) |
                                            ((out.flags & 0x0020) != 0 ? kAuthentic : 0) |
                                            (out.dnssec_ok ? kDnssec : 0));
  return true;
}

}  // namespace nodeplane::dns

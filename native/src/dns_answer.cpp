// Layer native. See dns_answer.hpp.
#include "dns_answer.hpp"

#include <algorithm>

#include "dns_finding.hpp"
#include "dns_types.hpp"
#include "dns_writer.hpp"

namespace nodeplane::dns {
namespace {

constexpr std::size_t kMaxAliases = 10;
constexpr std::uint32_t kMaxSoaTtl = 300;
constexpr std::uint32_t kVersionTtl = 28'800;
constexpr std::uint8_t kVersionText[] = {5, '1', '.', '1', '.', '0'};
constexpr std::uint8_t kNsDns[] = {2, 'n', 's', 3, 'd', 'n', 's'};
constexpr std::uint8_t kHostmaster[] = {10, 'h', 'o', 's', 't', 'm', 'a', 's', 't', 'e', 'r'};
constexpr std::uint8_t kSvc[] = {3, 's', 'v', 'c'};
constexpr std::size_t kAddressRecord = 12;

/// The name that is asked for now: the question, or where an alias leads.
struct Subject {
  std::size_t offset = kHeaderBytes;
  Labels labels;
  const Zone* zone = nullptr;
  std::size_t left = 0;
  [[nodiscard]] std::size_t zone_at() const { return offset + labels.starts[left]; }
};

class Reply {
 public:
  Reply(const Names& names, const Query& query, const Route& route, std::uint32_t serial, std::uint64_t& random,
        std::uint8_t* out)
      : names_(names),
        query_(query),
        route_(route),
        view_(*route.view),
        serial_(serial),
        random_(random),
        writer_{out, std::min(query.limit, kMaxUdp) - (query.has_edns ? kOptBytes : 0)} {}

  /// @returns false when the question is left to the chain
  bool write(const Config& config, std::uint8_t listener, const Labels& asked) {
    writer_.at = kHeaderBytes;
    writer_.octets({query_.name, query_.name_bytes});
    writer_.u16(query_.type);
    writer_.u16(1);
    subject_.labels = asked;
    for (std::size_t aliases = 0; aliases <= kMaxAliases; aliases++) {
      if (!locate()) return false;
      const Finding finding = find_name(names_, view_, subject_.labels, subject_.left, subject_.zone->is_reverse);
      if (finding.kind != Found::kAlias) return finish(finding, aliases > 0);
      if (!follow(*finding.unit, config, listener)) return query_.type == kCname && finish_plain();
    }
    return false;
  }

  [[nodiscard]] bool is_missing() const { return rcode_ != 0; }

  std::size_t end() {
    std::uint8_t* out = writer_.out;
    write_u16(out, query_.id);
    // QR, AA, RA of the block; RD and CD are the client's.
    write_u16(out + 2, 0x8400U | (query_.flags & 0x0110U) | ((route_.flags & kRecursive) != 0 ? 0x80U : 0U) | rcode_);
    write_u16(out + 4, 1);
    write_u16(out + 6, answers_);
    write_u16(out + 8, authorities_);
    write_u16(out + 10, additionals_ + (query_.has_edns ? 1U : 0U));
    if (query_.has_edns) write_opt(out + writer_.at, query_.dnssec_ok);
    return writer_.at + (query_.has_edns ? kOptBytes : 0);
  }

 private:
  bool locate() {
    for (const Zone& zone : view_.zones) {
      const int left = subject_.labels.below(zone);
      if (left < 0) continue;
      subject_.zone = &zone;
      subject_.left = static_cast<std::size_t>(left);
      return true;
    }
    return false;
  }

  /// Writes the alias and makes its target the subject. @returns false when there is nothing to follow here
  bool follow(const Unit& unit, const Config& config, std::uint8_t listener) {
    const auto target = unit.target();
    const std::size_t data = writer_.record(subject_.offset, kCname, view_.ttl);
    writer_.octets(target);
    writer_.end_data(data);
    answers_++;
    if (writer_.is_full || query_.type == kCname) return false;
    for (std::size_t i = 0; i < target.size(); i++) lower_[i] = lower_octet(target[i]);
    subject_.offset = data;
    if (!subject_.labels.read({lower_.data(), target.size()})) return false;
    return route_of(config, listener, subject_.labels) == &route_;
  }

  bool finish_plain() { return !writer_.is_full; }

  bool finish(const Finding& finding, bool is_aliased) {
    const std::size_t before = answers_;
    switch (finding.kind) {
      case Found::kLeft:
      case Found::kAlias:
        return false;
      case Found::kMissing:
        return missing();
      case Found::kEmpty:
        break;
      case Found::kApex:
        if (query_.type == kNs) return false;
        if (query_.type == kSoa) {
          soa();
          answers_++;
        }
        break;
      case Found::kVersion:
        if (query_.type == kTxt) version();
        break;
      case Found::kPod:
        if (query_.type == (finding.address_bytes == 4 ? kA : kAaaa)) {
          address(subject_.offset, {finding.address.data(), finding.address_bytes});
        }
        break;
      case Found::kPointer:
        if (!reverse(finding)) return missing_or_left();
        break;
      case Found::kNode:
        if (query_.type == kSrv && (finding.node->flags & kSrvLeft) != 0) return false;
        if (query_.type == kSrv) services(*finding.unit, *finding.node, is_aliased);
        if (query_.type == kA || query_.type == kAaaa) addresses(*finding.unit, *finding.node);
        break;
    }
    if (answers_ == before) authority();
    return !writer_.is_full && !is_left_;
  }

  bool missing_or_left() { return is_left_ ? false : missing(); }

  bool missing() {
    for (const Zone& zone : view_.fallthrough) {
      if (subject_.labels.below(zone) >= 0) return false;
    }
    rcode_ = 3;
    authority();
    return !writer_.is_full;
  }

  void authority() {
    soa();
    authorities_++;
  }

  void soa() {
    const std::size_t zone = subject_.zone_at();
    const std::size_t data = writer_.record(zone, kSoa, std::min(view_.ttl, kMaxSoaTtl));
    writer_.octets(kNsDns);
    writer_.pointer(zone);
    writer_.octets(kHostmaster);
    writer_.pointer(zone);
    for (const std::uint32_t number : {serial_, 7'200U, 1'800U, 86'400U, view_.ttl}) writer_.u32(number);
    writer_.end_data(data);
  }

  void version() {
    const std::size_t data = writer_.record(subject_.offset, kTxt, kVersionTtl);
    writer_.octets(kVersionText);
    writer_.end_data(data);
    answers_++;
  }

  void address(std::size_t owner, std::span<const std::uint8_t> octets) {
    const std::size_t data = writer_.record(owner, octets.size() == 4 ? kA : kAaaa, view_.ttl);
    writer_.octets(octets);
    writer_.end_data(data);
    answers_++;
  }

  void addresses(const Unit& unit, const Node& node) {
    const std::size_t first = writer_.at;
    const bool is_v4 = query_.type == kA;
    const std::size_t count = is_v4 ? node.v4_count : node.v6_count;
    for (std::size_t i = 0; i < count && !writer_.is_full; i++) {
      if (is_v4) {
        address(subject_.offset, {unit.v4(node.v4_at + i), 4});
      } else {
        address(subject_.offset, {unit.v6(node.v6_at + i), 16});
      }
    }
    if (count < 2 || writer_.is_full || (route_.flags & kShuffles) == 0) return;
    shuffle(writer_.out + first, count, kAddressRecord + (is_v4 ? 4 : 16), random_);
  }

  void services(const Unit& unit, const Node& node, bool is_aliased) {
    const auto records = unit.srvs().subspan(node.srv_at, node.srv_count);
    written_.fill({0, 0});
    for (const Srv& record : records) {
      if (writer_.is_full) return;
      const std::size_t data = writer_.record(subject_.offset, kSrv, view_.ttl);
      writer_.u16(0);
      writer_.u16(node.weight);
      writer_.u16(record.port);
      whole_target(unit, record.node());
      writer_.end_data(data);
      answers_++;
    }
    if (is_aliased) return;
    for (const Srv& record : records) {
      if (!record.is_first()) continue;
      const Node& at = unit.nodes()[record.node()];
      for (std::size_t i = 0; i < at.v4_count; i++) additional(unit, record.node(), {unit.v4(at.v4_at + i), 4});
      for (std::size_t i = 0; i < at.v6_count; i++) additional(unit, record.node(), {unit.v6(at.v6_at + i), 16});
      if (writer_.is_full) return;
    }
  }

  void additional(const Unit& unit, std::size_t node, std::span<const std::uint8_t> octets) {
    target(unit, node);
    writer_.u16(octets.size() == 4 ? kA : kAaaa);
    writer_.u16(1);
    writer_.u32(view_.ttl);
    writer_.u16(octets.size());
    writer_.octets(octets);
    additionals_++;
  }

  /// A name of the service in the zone as it was asked for. Never compressed: RFC 2782, and c-ares insists.
  void whole_target(const Unit& unit, std::size_t node) {
    const auto text = unit.text(unit.nodes()[node]);
    const std::size_t zone_bytes = subject_.labels.name.size() - subject_.labels.starts[subject_.left];
    if (text.size() + unit.key_bytes + sizeof kSvc + zone_bytes > kMaxName) is_left_ = true;
    auto& memo = written_[node % written_.size()];
    if (memo.offset == 0) memo = {static_cast<std::uint16_t>(node), static_cast<std::uint16_t>(writer_.at)};
    writer_.octets(text);
    writer_.octets(unit.key());
    writer_.octets(kSvc);
    if (!writer_.is_full) writer_.octets({writer_.out + subject_.zone_at(), zone_bytes});
  }

  /// The same as an owner: a pointer to where it was written, which may be inside of data.
  void target(const Unit& unit, std::size_t node) {
    const auto& memo = written_[node % written_.size()];
    if (memo.offset != 0 && memo.node == node) return writer_.pointer(memo.offset);
    whole_target(unit, node);
  }

  /// Services that have the address as their own; else endpoints. @returns false when there is none
  bool reverse(const Finding& finding) {
    const std::span<const std::uint8_t> wanted(finding.address.data(), finding.address_bytes);
    std::array<const Unit*, 16> units{};
    std::size_t count = 0;
    names_.find_address(view_.id, wanted, [&](const Unit& unit) {
      if (unit.kind == UnitKind::kLeft || count == units.size()) is_left_ = true;
      if (is_left_ || std::find(units.begin(), units.begin() + count, &unit) != units.begin() + count) return;
      units[count++] = &unit;
    });
    if (is_left_) return false;
    bool is_there = false;
    for (const bool own : {true, false}) {
      for (std::size_t i = 0; i < count; i++) {
        for (const Node& node : units[i]->nodes()) {
          const bool is_own = node.text_bytes == 0;
          if (is_own != own || (node.flags & kNoReverse) != 0 || !has(*units[i], node, wanted)) continue;
          is_there = true;
          if (query_.type == kPtr) pointer_to(*units[i], node);
        }
      }
      if (is_there) return true;
    }
    return false;
  }

  static bool has(const Unit& unit, const Node& node, std::span<const std::uint8_t> wanted) {
    const bool is_v4 = wanted.size() == 4;
    const std::size_t count = is_v4 ? node.v4_count : node.v6_count;
    for (std::size_t i = 0; i < count; i++) {
      const std::uint8_t* known = is_v4 ? unit.v4(node.v4_at + i) : unit.v6(node.v6_at + i);
      if (std::memcmp(known, wanted.data(), wanted.size()) == 0) return true;
    }
    return false;
  }

  void pointer_to(const Unit& unit, const Node& node) {
    const auto text = unit.text(node);
    if (text.size() + unit.key_bytes + sizeof kSvc + view_.primary.size() > kMaxName) is_left_ = true;
    const std::size_t data = writer_.record(subject_.offset, kPtr, view_.ttl);
    writer_.octets(text);
    writer_.octets(unit.key());
    if (service_at_ != 0) {
      writer_.pointer(service_at_);
    } else {
      service_at_ = writer_.at;
      writer_.octets(kSvc);
      writer_.octets(view_.primary);
    }
    writer_.end_data(data);
    answers_++;
  }

  const Names& names_;
  const Query& query_;
  const Route& route_;
  const View& view_;
  std::uint32_t serial_;
  std::uint64_t& random_;
  Writer writer_;
  Subject subject_;
  std::array<std::uint8_t, kMaxName + 1> lower_;
  struct Written {
    std::uint16_t node;
    std::uint16_t offset;
  };
  std::array<Written, 64> written_;
  std::size_t service_at_ = 0;
  std::size_t answers_ = 0;
  std::size_t authorities_ = 0;
  std::size_t additionals_ = 0;
  unsigned rcode_ = 0;
  bool is_left_ = false;
};

}  // namespace

bool is_for_chain(std::uint16_t type) {
  return type == kDs || type == 0 || type == kOpt || (type >= 128 && type <= 255);
}

const Route* route_of(const Config& config, std::uint8_t listener, const Labels& labels) {
  for (const Route& route : config.routes[listener]) {
    if (labels.below(route.zone) >= 0) return &route;
  }
  return nullptr;
}

Answered answer_from_names(const Names& names, const Query& query, std::uint8_t listener, std::uint32_t serial,
                           std::uint64_t& random, std::uint8_t* out) {
  if (is_for_chain(query.type)) return {};
  const Config& config = names.config();
  if (config.routes[listener].empty()) return {};
  Labels labels;
  if (!labels.read({query.lower.data(), query.name_bytes})) return {};
  const Route* route = route_of(config, listener, labels);
  if (route == nullptr || route->view == nullptr || !names.is_on(route->view->id)) return {};
  Reply reply(names, query, *route, serial, random, out);
  if (!reply.write(config, listener, labels)) return {};
  const auto& slots = route->slots[type_index(query.type)];
  return {reply.end(), slots[reply.is_missing() ? 1 : 0]};
}

}  // namespace nodeplane::dns

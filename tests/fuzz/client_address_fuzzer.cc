// Telling a server its client's address, whatever the peers send and the network loses: the bytes are a little program
// of one connection, between a client that sends any part of its stream with any options and a server that acknowledges
// what it has. What the server gets is the header and then the client's stream, byte for byte; the option is the
// client's address or not there; the client hears of nothing before its first byte or beyond its last; every checksum
// is right; and nothing is written outside of a packet and the room in front of it.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/l4/client_option.h"
#include "dataplane/l4/forward_known.h"
#include "dataplane/l4/proxy_header.h"
#include "dataplane/packet/build.h"
#include "tests/fuzz/ground.h"

namespace steelyard {
namespace {

using fuzz::Bytes;
using fuzz::require;
using packet::Sequence;
using namespace packet::tcp_flag;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t millisecond = 1'000'000;
constexpr std::size_t mtu = 1'500;
constexpr std::uint32_t most_stream = 4'096;

struct Segment {
  Sequence sequence;
  Sequence acknowledgment;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::vector<std::uint8_t> options;
  std::vector<std::uint8_t> payload;
};

template <class Family>
class Run final : public l4::BalancerOutput {
 public:
  explicit Run(service::ClientAddress how) : how_(how), snapshot_(make_snapshot(how)), ground_(snapshot_, this) {
    ground_.introduce(address(client));
    ground_.introduce(address(server));
  }

  void run(Bytes input) {
    client_sends({client_isn, {}, syn, 0xffff, options(input), {}});
    while (!input.empty() && !over_) {
      const std::uint8_t operation = input.byte();
      lost_ = (operation & 0x80U) != 0;
      switch (operation % 8) {
        case 0:
          client_sends({client_isn, {}, syn, 0xffff, options(input), stream(0, input.byte())});
          break;
        case 1:
          server_sends(server_isn, syn | ack, input);
          break;
        case 2:
          ground_.pass(input.byte() * 8 * millisecond);
          break;
        case 3:
        case 4:
        case 5:
          client_data(input);
          break;
        default:
          server_sends(server_isn + 1 + server_sent_, (operation & 0x40U) != 0 ? ack | psh : ack, input);
      }
    }
  }

 private:
  static constexpr std::uint8_t client = 1;
  static constexpr std::uint8_t server = 2;
  static constexpr std::uint8_t vip = 100;
  static constexpr Sequence client_isn{0xfffffff0};  // wraps early
  static constexpr Sequence server_isn{0xffffff80};
  static constexpr std::uint32_t in_front = l4::proxy_header_size<Family>;

  static service::Address address(std::uint8_t last) { return fuzz::address(Family::is_v6, last); }
  static typename Family::Address raw(std::uint8_t last) {
    return packet::load<typename Family::Address>(address(last).v6().data() + (Family::is_v6 ? 0 : 12));
  }

  static service::Snapshot make_snapshot(service::ClientAddress how) {
    auto listener = std::make_shared<service::Listener>();
    listener->id = {1};
    listener->key = {address(vip), 80, service::Protocol::tcp};
    listener->mode = service::Mode::fullnat;
    listener->client_address = how;
    listener->servers.push_back({address(server), 8080, 100, {1}});
    listener->state = std::make_shared<service::ListenerState>(1);
    listener->scratch.emplace_back(std::make_unique<std::uint32_t[]>(schedule::scratch_words(listener->scheduler, 1)));
    service::Snapshot snapshot;
    snapshot.listeners = {nullptr, listener};
    snapshot.index = std::make_shared<service::ListenerIndex>(
        std::vector<service::ListenerIndex::Entry>{{listener->key, listener->id}});
    snapshot.nat_servers = std::make_shared<service::EndpointSet>();
    const std::array vips{address(vip)};
    snapshot.vips = std::make_shared<service::AddressSet>(vips);
    snapshot.routes.push_back({service::Prefix{address(0), 0}, {}, true, {}});
    return snapshot;
  }

  // The client's stream, and what the server is to get of it.
  static std::uint8_t sent_at(std::uint32_t offset) { return static_cast<std::uint8_t>(offset * 31 + (offset >> 8U)); }
  static std::vector<std::uint8_t> stream(std::uint32_t offset, std::size_t length) {
    std::vector<std::uint8_t> bytes(length);
    for (std::size_t at = 0; at < length; ++at) {
      bytes[at] = sent_at(offset + static_cast<std::uint32_t>(at));
    }
    return bytes;
  }
  [[nodiscard]] bool has_header() const { return how_ == service::ClientAddress::proxy_v2; }
  [[nodiscard]] std::uint8_t expected_at(std::uint32_t offset) const {
    if (!has_header()) {
      return sent_at(offset);
    }
    l4::Flow<Family> flow{};
    flow.client = raw(client);
    flow.vip = raw(vip);
    flow.client_port = __builtin_bswap16(1'000);
    flow.vip_port = __builtin_bswap16(80);
    return offset < in_front ? l4::proxy_header(flow)[offset] : sent_at(offset - in_front);
  }

  static std::vector<std::uint8_t> options(Bytes& input) {
    std::vector<std::uint8_t> made(std::size_t{input.byte()} % 11 * 4);
    for (std::uint8_t& byte : made) {
      byte = input.byte();
    }
    return made;
  }

  // Any part of the stream, once the server's SYN is known.
  void client_data(Bytes& input) {
    const std::uint32_t offset = input.word() % most_stream;
    const std::uint8_t shape = input.byte();
    const std::size_t length = (shape & 1U) != 0 ? 0 : (shape & 2U) != 0 ? mtu : shape;
    if (!client_knows_) {
      return;
    }
    std::vector<std::uint8_t> chosen = options(input);
    if (has_header() && !told_ && shape % 8 == 4) {
      client_forges(offset % in_front, std::move(chosen));
      return;
    }
    const std::size_t room = mtu - Family::header_size - 20 - chosen.size();
    auto payload = stream(offset, std::min(length, room));
    client_end_ = std::max(client_end_, offset + static_cast<std::uint32_t>(payload.size()));
    client_sends({client_isn + 1 + offset, server_isn + 1 + client_has_, ack, 0xffff, chosen, std::move(payload)});
  }

  // A segment that begins among the numbers of the header goes nowhere.
  void client_forges(std::uint32_t place, std::vector<std::uint8_t> chosen) {
    require(through(frame_of(client_side(), {client_isn + 1 - in_front + place, server_isn + 1 + client_has_, ack,
                                             0xffff, std::move(chosen), stream(0, in_front)}))
                .empty());
  }

  static packet::Tuple<Family> client_side() {
    return {raw(client), raw(vip), __builtin_bswap16(1'000), __builtin_bswap16(80), packet::protocol_tcp};
  }

  static std::vector<std::uint8_t> frame_of(const packet::Tuple<Family>& ends, const Segment& segment) {
    const std::size_t header = 20 + segment.options.size();
    std::vector<std::uint8_t> frame(l4::most_grown + 14 + Family::header_size);
    std::uint8_t* l3 = frame.data() + l4::most_grown + 14;
    packet::store(l3 - 2, __builtin_bswap16(Family::ether_type));
    packet::write_ip_header<Family>(l3, ends.source, ends.destination, packet::protocol_tcp,
                                    header + segment.payload.size());
    std::vector<std::uint8_t> tcp(20);
    packet::store(tcp.data(), ends.source_port);
    packet::store(tcp.data() + 2, ends.destination_port);
    packet::store(tcp.data() + 4, __builtin_bswap32(segment.sequence.value));
    packet::store(tcp.data() + 8, __builtin_bswap32(segment.acknowledgment.value));
    tcp[12] = static_cast<std::uint8_t>(header / 4 << 4U);
    tcp[13] = segment.flags;
    packet::store(tcp.data() + 14, __builtin_bswap16(segment.window));
    tcp.insert(tcp.end(), segment.options.begin(), segment.options.end());
    tcp.insert(tcp.end(), segment.payload.begin(), segment.payload.end());
    packet::store(tcp.data() + 16,
                  packet::l4_checksum<Family>(ends.source, ends.destination, packet::protocol_tcp, tcp));
    frame.insert(frame.end(), tcp.begin(), tcp.end());
    return frame;
  }

  // What is forwarded, from its Ethernet header on; empty: it was not.
  std::vector<std::uint8_t> through(std::vector<std::uint8_t> frame) {
    packet::PacketView view =
        packet::parse(std::span(frame).subspan(l4::most_grown), frame.size() - l4::most_grown, {});
    if (view.kind != packet::PacketKind::l4) {
      return {};
    }
    const std::uint64_t hash = ground_.balancer->hash_of<Family>(view);
    auto candidate = ground_.balancer->candidate<Family>(ground_.balancer->index_line<Family>(hash), hash);
    if (candidate.ask_second) {
      candidate.value = ground_.balancer->candidate_in_second<Family>(hash);
    }
    if (ground_.balancer->forward_known<Family>(view, candidate.value).hop.value != 0) {
      return {frame.begin() + l4::most_grown, frame.end()};
    }
    const l4::Verdict verdict = ground_.balancer->handle<Family>(view, hash);
    if (verdict.kind != l4::Verdict::Kind::forward) {
      return {};
    }
    require(verdict.grown <= l4::most_grown);
    return {frame.begin() + static_cast<std::ptrdiff_t>(l4::most_grown - verdict.grown), frame.end()};
  }

  void client_sends(const Segment& segment) {
    const auto frame = through(frame_of(client_side(), segment));
    if (frame.empty()) {
      over_ = over_ || (server_next_.has_value() && (segment.flags & syn) == 0);  // an old SYN need not pass
      return;
    }
    if (!lost_) {
      server_gets(frame);
    }
  }

  // A packet that the balancer has built: a header, or the resets that end the connection.
  bool send_built(std::span<const std::uint8_t> built, bool, neighbor::HopIndex) override {
    std::vector<std::uint8_t> frame(14);
    packet::store(frame.data() + 12, __builtin_bswap16(Family::ether_type));
    frame.insert(frame.end(), built.begin(), built.end());
    packet::PacketView view = packet::parse(frame, frame.size(), {});
    require(view.kind == packet::PacketKind::l4);
    if ((view.tcp_flags & rst) != 0) {
      over_ = true;
    } else {
      require(has_header() && view.tcp_payload == in_front);
      if (!lost_) {
        server_gets(frame);
      }
    }
    return true;
  }

  void server_gets(std::vector<std::uint8_t> frame) {
    const packet::PacketView view = packet::parse(frame, frame.size(), {});
    require(view.kind == packet::PacketKind::l4 && view.l3_length <= mtu);
    require(packet::l4_checksum<Family>(view.source<Family>(), view.destination<Family>(), view.protocol,
                                        {view.l4, view.l4_length}) == 0);
    require_own_options(view);
    const l4::Segment segment = l4::Segment::of(view);
    if (segment.has(syn)) {
      require(!has_header() || view.tcp_payload == 0 || told_);  // one whose connection is open takes no SYN
      if (!client_knows_) {
        server_first_ = segment.sequence + 1;
        server_side_ = view.tuple<Family>().reversed();
        server_next_ = 0;
        server_sent_ = 0;
      }
      return;
    }
    require(server_next_.has_value());
    const std::uint8_t* payload = view.l4 + view.l4_length - view.tcp_payload;
    for (std::uint32_t at = 0; at < view.tcp_payload; ++at) {
      const std::uint32_t offset = distance(server_first_, segment.sequence) + at;
      require(offset < server_has_.size());
      require(payload[at] == expected_at(offset));
      server_has_[offset] = true;
    }
    while (server_has_[*server_next_]) {
      ++*server_next_;
    }
  }

  // No option but ours names a client.
  void require_own_options(const packet::PacketView& view) const {
    l4::for_each_option(view.l4, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
      if (kind == l4::tcp_option::experiment) {
        require(how_ == service::ClientAddress::toa && option.size() == l4::client_option_size<Family>);
        require(packet::load_be16(&option[2]) == 1'000);
        require(packet::load<typename Family::Address>(&option[4]) == raw(client));
      }
    });
  }

  // The server answers what it has, or a part of it, with a few bytes of its own.
  void server_sends(Sequence sequence, std::uint8_t flags, Bytes& input) {
    const std::uint8_t shape = input.byte();
    const auto window = input.word();
    auto chosen = options(input);
    if (!server_next_) {
      return;
    }
    const bool opens = (flags & syn) != 0;
    const std::uint32_t acknowledged = opens ? 0 : *server_next_ - std::min<std::uint32_t>(*server_next_, shape >> 4U);
    const std::vector<std::uint8_t> payload(opens ? 0 : shape & 15U, 'x');
    server_sent_ += static_cast<std::uint32_t>(payload.size());
    const auto frame = through(
        frame_of(server_side_, {sequence, server_first_ + acknowledged, flags, window, std::move(chosen), payload}));
    if (frame.empty()) {
      over_ = true;
      return;
    }
    const bool told = told_;
    told_ = told_ || (has_header() && acknowledged >= in_front);
    if (!lost_) {
      client_gets(frame, acknowledged, window, opens, told);
    }
  }

  void client_gets(std::vector<std::uint8_t> frame, std::uint32_t acknowledged, std::uint16_t window, bool opens,
                   bool told) {
    const packet::PacketView view = packet::parse(frame, frame.size(), {});
    require(view.kind == packet::PacketKind::l4);
    require(packet::l4_checksum<Family>(view.source<Family>(), view.destination<Family>(), view.protocol,
                                        {view.l4, view.l4_length}) == 0);
    const std::uint32_t heard = distance(client_isn + 1, l4::Segment::of(view).acknowledgment);
    const std::uint32_t edge = packet::load_be16(view.l4 + 14);
    if (!told) {
      // An old acknowledgment of a part of the header, overtaken by one of all of it, is behind the client's back.
      require(heard <= client_end_);
      require(edge == 0 || heard + edge + (has_header() ? in_front : 0) <= acknowledged + window);
    }
    client_knows_ = client_knows_ || opens;
    client_has_ = std::max(client_has_, client_knows_ ? server_sent_ : 0U);
  }

  service::ClientAddress how_;
  service::Snapshot snapshot_;
  fuzz::Ground ground_;

  bool lost_ = false;  // what is sent now does not arrive
  bool over_ = false;
  bool told_ = false;  // the server has said that it has the header
  bool client_knows_ = false;
  std::uint32_t client_end_ = 0;  // of what it has sent
  std::uint32_t client_has_ = 0;  // of the server's bytes
  std::uint32_t server_sent_ = 0;
  Sequence server_first_;                     // of the bytes that the server gets
  std::optional<std::uint32_t> server_next_;  // of those, the first that it has not; none: it has no SYN
  std::vector<bool> server_has_ = std::vector<bool>(2 * most_stream + mtu);
  packet::Tuple<Family> server_side_{};
};

}  // namespace
}  // namespace steelyard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steelyard;
  constexpr std::size_t largest = 4'096;
  if (size == 0 || size > largest) {
    return 0;
  }
  const auto how = (data[0] & 1U) != 0 ? service::ClientAddress::toa : service::ClientAddress::proxy_v2;
  (data[0] & 2U) != 0 ? Run<packet::Ipv6>(how).run({data + 1, size - 1})
                      : Run<packet::Ipv4>(how).run({data + 1, size - 1});
  return 0;
}

// Mode `tunnel` under hostile input: packets of any size and header through tunnels of every pair of families, errors
// of routers about them, pauses. What leaves is the packet that came, but for its age and a SYN's segment size, behind
// a right outer header that says so; it is never larger than was promised, and nothing is written beyond the room that
// a buffer has in front.
#include "dataplane/l4/forward_known.h"
#include "dataplane/packet/build.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/icmp_error.h"
#include "tests/fuzz/ground.h"

namespace steelyard {
namespace {

using fuzz::address;
using fuzz::Bytes;
using fuzz::require;
using fuzz::second;

constexpr std::uint8_t vip = 100;
constexpr std::uint8_t first_server = 1;
constexpr std::uint16_t to_v4 = 80;  // listeners whose servers are behind IPv4
constexpr std::uint16_t to_v6 = 81;

service::Snapshot make_snapshot() {
  service::Snapshot snapshot;
  std::vector<service::ListenerIndex::Entry> entries;
  snapshot.listeners.push_back(nullptr);
  std::uint32_t backend = 1;
  for (const bool v6 : {false, true}) {
    for (const auto protocol : {service::Protocol::tcp, service::Protocol::udp}) {
      for (const std::uint16_t port : {to_v4, to_v6}) {
        auto listener = std::make_shared<service::Listener>();
        listener->id = {static_cast<std::uint16_t>(snapshot.listeners.size())};
        listener->key = {address(v6, vip), port, protocol};
        listener->mode = service::Mode::tunnel;
        for (std::uint8_t server = 0; server < 2; ++server) {
          const auto host = static_cast<std::uint8_t>(first_server + server);
          listener->servers.push_back({address(port == to_v6, host), port, 50, {backend++}});
        }
        listener->state = std::make_shared<service::ListenerState>(2);
        listener->scratch.emplace_back(
            std::make_unique<std::uint32_t[]>(schedule::scratch_words(listener->scheduler, 2)));
        entries.push_back({listener->key, listener->id});
        snapshot.listeners.push_back(std::move(listener));
      }
    }
    snapshot.routes.push_back({service::Prefix{address(v6, 0), 0}, {}, true, {}});
  }
  snapshot.index = std::make_shared<service::ListenerIndex>(entries);
  snapshot.nat_servers = std::make_shared<service::EndpointSet>(std::vector<service::VipKey>{});
  const std::array vips{address(false, vip), address(true, vip)};
  snapshot.vips = std::make_shared<service::AddressSet>(vips);
  return snapshot;
}

class World {
 public:
  World() : snapshot_(make_snapshot()), ground_(snapshot_) {
    for (const bool v6 : {false, true}) {
      ground_.introduce(address(v6, first_server));  // the other server is never resolved: no fast path there
    }
  }

  void run(Bytes input) {
    while (!input.empty()) {
      const std::uint8_t operation = input.byte();
      switch (operation % 8) {
        case 0:
          ground_.pass(std::uint64_t{input.word()} * second / 64);
          break;
        case 1:
          (operation & 0x80U) != 0 ? error<packet::Ipv6>(input) : error<packet::Ipv4>(input);
          break;
        default:
          (operation & 0x80U) != 0 ? send<packet::Ipv6>(input) : send<packet::Ipv4>(input);
      }
    }
    for (int step = 0; step < 50; ++step) {
      ground_.pass(20 * second);
    }
    ground_.require_empty();
  }

 private:
  template <class Family>
  static typename Family::Address from(std::uint8_t last) {
    return l4::from_service<Family>(address(Family::is_v6, last));
  }

  // A client's packet of any size, with as much room in front as layer 4 may use and not a byte more.
  template <class Family>
  void send(Bytes& input) {
    const std::uint8_t shape = input.byte();
    const bool tcp = (shape & 1U) != 0;
    const std::size_t options = tcp ? (shape >> 1U & 7U) * 4 : 0;
    const std::size_t payload = input.word() % 2'000;
    const std::size_t length = (tcp ? 20 + options : 8) + payload;
    std::vector<std::uint8_t> room(l4::most_grown + 14 + Family::header_size + length);
    std::uint8_t* l3 = room.data() + l4::most_grown + 14;
    std::uint8_t* l4 = l3 + Family::header_size;
    packet::store(l3 - 2, __builtin_bswap16(Family::ether_type));
    const auto source = from<Family>(static_cast<std::uint8_t>(10 + (shape >> 4U & 3U)));
    const auto destination = from<Family>(vip);
    const std::uint8_t protocol = tcp ? packet::protocol_tcp : packet::protocol_udp;
    packet::write_ip_header<Family>(l3, source, destination, protocol, length, input.byte());
    if constexpr (!Family::is_v6) {
      l3[1] = input.byte();
      l3[6] = static_cast<std::uint8_t>(input.byte() & 0x40U);
      packet::store(l3 + 10, std::uint16_t{0});
      packet::store(l3 + 10, packet::ipv4_header_checksum({l3, Family::header_size}));
    }
    packet::store(l4, __builtin_bswap16(static_cast<std::uint16_t>(1'000 + (shape >> 6U))));
    packet::store(l4 + 2, __builtin_bswap16((shape & 0x08U) != 0 ? to_v6 : to_v4));
    if (tcp) {
      packet::store(l4 + 4, __builtin_bswap32(std::uint32_t{input.word()} << 8U));
      packet::store(l4 + 8, __builtin_bswap32(std::uint32_t{input.word()} << 8U));
      l4[12] = static_cast<std::uint8_t>((5 + options / 4) << 4U);
      l4[13] = input.byte() & 0x3fU;
      for (std::size_t at = 0; at < options; ++at) {
        l4[20 + at] = input.byte();
      }
    } else {
      packet::store(l4 + 4, __builtin_bswap16(static_cast<std::uint16_t>(length)));
    }
    packet::store(l4 + (tcp ? 16 : 6), packet::l4_checksum<Family>(source, destination, protocol, {l4, length}));
    receive<Family>(room);
  }

  template <class Family>
  void receive(std::vector<std::uint8_t>& room) {
    const std::span frame = std::span(room).subspan(l4::most_grown);
    packet::PacketView view = packet::parse(frame, frame.size(), {});
    if (view.kind != packet::PacketKind::l4) {
      return;
    }
    const std::vector<std::uint8_t> before(frame.begin() + 14, frame.end());
    l4::Balancer& balancer = *ground_.balancer;
    const std::uint64_t hash = balancer.hash_of<Family>(view);
    auto candidate = balancer.candidate<Family>(balancer.index_line<Family>(hash), hash);
    if (candidate.ask_second) {
      candidate.value = balancer.candidate_in_second<Family>(hash);
    }
    const l4::Forwarded known = balancer.forward_known<Family>(view, candidate.value);
    l4::Verdict verdict{.kind = l4::Verdict::Kind::forward, .hop = known.hop, .mtu = 1'500, .grown = known.grown};
    if (known.hop.value == 0) {
      verdict = balancer.handle<Family>(view, hash);
    }
    using Kind = l4::Verdict::Kind;
    if (verdict.kind == Kind::too_big) {
      require(verdict.mtu < before.size() && verdict.mtu >= 68);
      require(std::equal(before.begin(), before.end(), frame.begin() + 14));
    } else if (verdict.kind == Kind::forward || verdict.kind == Kind::split) {
      require(verdict.kind == Kind::split || before.size() + verdict.grown <= 1'500);
      require(verdict.kind == Kind::forward || before.size() + verdict.grown > verdict.mtu);
      verdict.grown == packet::Ipv6::header_size ? check<Family, packet::Ipv6>(room, before)
                                                 : check<Family, packet::Ipv4>(room, before);
    }
  }

  template <class Inner, class Outer>
  void check(std::span<const std::uint8_t> room, std::vector<std::uint8_t> before) {
    const auto outer = room.subspan(l4::most_grown + 14 - Outer::header_size);
    require(outer[0] >> 4U == (Outer::is_v6 ? 6 : 4));
    require(packet::load<std::uint16_t>(outer.data() - 2) == __builtin_bswap16(Outer::ether_type));
    if constexpr (Outer::is_v6) {
      require(outer[6] == (Inner::is_v6 ? packet::protocol_ipv6 : packet::protocol_ipv4));
      require(packet::load_be16(&outer[4]) == before.size());
    } else {
      require(outer[9] == (Inner::is_v6 ? packet::protocol_ipv6 : packet::protocol_ipv4));
      require(packet::load_be16(&outer[2]) == before.size() + Outer::header_size);
      require(packet::ipv4_header_checksum(outer.first(Outer::header_size)) == 0);
    }
    // The same packet, a hop older; of a SYN layer 4 is only asked to be right.
    const auto inner = outer.subspan(Outer::header_size);
    std::vector<std::uint8_t> copy(14);
    packet::store(copy.data() + 12, __builtin_bswap16(Inner::ether_type));
    copy.insert(copy.end(), inner.begin(), inner.end());
    const packet::PacketView view = packet::parse(copy, copy.size(), {});
    require(view.kind == packet::PacketKind::l4);
    require(packet::l4_checksum<Inner>(view.source<Inner>(), view.destination<Inner>(), view.protocol,
                                       {view.l4, view.l4_length}) == 0);
    require(inner[Inner::ttl_offset] + 1 == before[Inner::ttl_offset]);
    if ((view.tcp_flags & packet::tcp_flag::syn) == 0) {
      require(std::equal(before.begin() + Inner::header_size, before.end(), inner.begin() + Inner::header_size));
    }
    (Outer::is_v6 ? last_v6_ : last_v4_).assign(outer.begin(), outer.end());
  }

  // A router's error about the last packet into a tunnel, cut short and with some bytes changed.
  template <class Outer>
  void error(Bytes& input) {
    const auto& last = Outer::is_v6 ? last_v6_ : last_v4_;
    const std::uint8_t kind = input.byte();
    std::vector<std::uint8_t> quote(last.begin(),
                                    last.begin() + std::min<std::ptrdiff_t>(input.byte(), std::ssize(last)));
    for (std::size_t changes = kind >> 6U; changes > 0 && !quote.empty(); --changes) {
      const std::size_t place = input.byte() % quote.size();
      quote[place] = input.byte();
    }
    std::vector<std::uint8_t> frame(14 + Outer::header_size + 8);
    packet::store(frame.data() + 12, __builtin_bswap16(Outer::ether_type));
    const auto destination = from<Outer>((kind & 0x10U) != 0 ? fuzz::own : fuzz::local);
    packet::write_ip_header<Outer>(frame.data() + 14, from<Outer>(201), destination,
                                   Outer::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp, 8 + quote.size());
    std::uint8_t* icmp = frame.data() + 14 + Outer::header_size;
    icmp[0] = Outer::is_v6 ? 1 + kind % 4 : std::array<std::uint8_t, 4>{3, 3, 11, 12}[kind % 4];
    icmp[1] = Outer::is_v6 ? 0 : 4;
    packet::store(icmp + 6, __builtin_bswap16(input.word()));
    frame.insert(frame.end(), quote.begin(), quote.end());
    packet::PacketView view = packet::parse(frame, frame.size(), {});
    require(view.kind == packet::PacketKind::icmp);
    packet::write_icmp_checksum<Outer>(view);
    static_cast<void>(ground_.balancer->translate_error<Outer>(view));
    ground_.pass(0);
  }

  service::Snapshot snapshot_;
  fuzz::Ground ground_;
  std::vector<std::uint8_t> last_v4_;  // outer packets
  std::vector<std::uint8_t> last_v6_;
};

}  // namespace
}  // namespace steelyard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t largest = 4'096;
  if (size <= largest) {
    steelyard::World().run({data, size});
  }
  return 0;
}

// Parse, lookup and rewriting under hostile input: the bytes are a little program of packets - raw ones and well-formed
// ones of few clients, servers and listeners, so that they meet - and of pauses. After every packet: one that was
// forwarded and came with right checksums leaves with right ones. At the end, after everything has expired: no flow, no
// connection and no local port is left over.
#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "dataplane/l4/forward_known.h"
#include "dataplane/packet/build.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/packet/plain_tcp.h"
#include "tests/fuzz/ground.h"
#include "tests/fuzz/input.h"

namespace steelyard {
namespace {

using fuzz::address;
using fuzz::Bytes;
using fuzz::local;
using fuzz::require;
using fuzz::second;

constexpr std::uint8_t vip = 100;
constexpr std::uint8_t first_server = 1;

service::Snapshot make_snapshot() {
  service::Snapshot snapshot;
  std::vector<service::ListenerIndex::Entry> entries;
  std::vector<service::VipKey> endpoints;
  std::vector<service::ListenerIndex::Entry> hashed;
  snapshot.listeners.push_back(nullptr);
  std::uint32_t backend = 1;
  for (const bool v6 : {false, true}) {
    for (const auto protocol : {service::Protocol::tcp, service::Protocol::udp}) {
      for (const auto mode : {service::Mode::nat, service::Mode::fullnat, service::Mode::dr}) {
        auto listener = std::make_shared<service::Listener>();
        listener->id = {static_cast<std::uint16_t>(snapshot.listeners.size())};
        listener->key = {address(v6, vip), static_cast<std::uint16_t>(80 + static_cast<unsigned>(mode)), protocol};
        listener->mode = mode;
        const bool adopts = protocol == service::Protocol::tcp && mode == service::Mode::nat;
        listener->scheduler = adopts                               ? service::Scheduler::tch
                              : protocol == service::Protocol::tcp ? service::Scheduler::wlc
                                                                   : service::Scheduler::wrr;
        listener->persistence_timeout = std::chrono::seconds(mode == service::Mode::nat ? 0 : 60);
        for (std::uint8_t server = 0; server < 2; ++server) {
          const service::Address server_address = address(v6, static_cast<std::uint8_t>(first_server + server));
          if (service::is_one_sided(mode)) {
            listener->servers.push_back({server_address, listener->key.port, 50, {backend++}});
          } else {
            listener->servers.push_back({server_address, 8080, 50, {backend++}});
            endpoints.push_back({server_address, 8080, protocol});
          }
          if (adopts) {
            hashed.push_back({endpoints.back(), listener->id});
          }
        }
        if (adopts) {
          listener->hash_table = std::make_shared<service::HashTable>(schedule::build_hash_table(listener->servers));
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
  snapshot.nat_servers = std::make_shared<service::EndpointSet>(endpoints);
  std::vector<service::VipKey> hashed_servers;
  for (const service::ListenerIndex::Entry& entry : hashed) {
    hashed_servers.push_back(entry.key);
  }
  snapshot.hashed_servers = std::make_shared<service::EndpointSet>(hashed_servers);
  snapshot.hashed_listeners = std::make_shared<service::ListenerIndex>(hashed);
  const std::array vips{address(false, vip), address(true, vip)};
  snapshot.vips = std::make_shared<service::AddressSet>(vips);
  return snapshot;
}

class World {
 public:
  World() : snapshot_(make_snapshot()), ground_(snapshot_) {
    for (const bool v6 : {false, true}) {
      for (std::uint8_t host = 1; host < 14; ++host) {
        ground_.introduce(address(v6, host));
      }
    }
  }

  void run(Bytes input) {
    while (!input.empty()) {
      const std::uint8_t operation = input.byte();
      switch (operation % 8) {
        case 0:
          raw(input);
          break;
        case 1:
          pass(std::uint64_t{input.word()} * second / 64);
          break;
        case 2:
          (operation & 0x80U) != 0 ? error<packet::Ipv6>(input) : error<packet::Ipv4>(input);
          break;
        default:
          (operation & 0x80U) != 0 ? formed<packet::Ipv6>(input) : formed<packet::Ipv4>(input);
      }
      if ((operation & 0x40U) == 0 || held_.size() == most_held) {
        end_burst();
      }
    }
    // The longest timeout is 900 s; a flow that was just looked at is looked at once more.
    for (int step = 0; step < 50; ++step) {
      pass(20 * second);
    }
    ground_.require_empty();
  }

 private:
  [[nodiscard]] l4::Balancer& balancer() { return *ground_.balancer; }

  void pass(std::uint64_t nanoseconds) {
    end_burst();
    ground_.pass(nanoseconds);
  }

  // Any frame, in a buffer of just its size so that a read beyond it is seen.
  void raw(Bytes& input) {
    std::vector<std::uint8_t> frame(input.byte());
    for (std::uint8_t& byte : frame) {
      byte = input.byte();
    }
    handle(std::move(frame), false);
  }

  // A packet between one of 16 clients and a listener, or from a server back, with right checksums.
  template <class Family>
  void formed(Bytes& input) {
    const std::uint8_t shape = input.byte();
    const std::uint8_t who = input.byte();
    const bool tcp = (shape & 1U) != 0;
    const bool from_server = (shape & 2U) != 0;
    const bool fullnat = (shape & 4U) != 0;
    const bool direct = (shape & 8U) != 0;
    const std::uint16_t vip_port = fullnat ? 81 : direct ? 82 : 80;
    const auto client = from<Family>(static_cast<std::uint8_t>(10 + (who & 0x03U)));
    const auto client_port = static_cast<std::uint16_t>(1000 + (who >> 2U & 0x03U));
    const auto server = from<Family>(static_cast<std::uint8_t>(first_server + (who >> 4U & 1U)));
    const std::size_t payload = shape >> 4U;
    std::vector<std::uint8_t> frame(14 + Family::header_size + (tcp ? 20 : 8) + payload);
    packet::store(frame.data() + 12, __builtin_bswap16(Family::ether_type));
    std::uint8_t* l3 = frame.data() + 14;
    std::uint8_t* l4 = l3 + Family::header_size;
    const auto source = from_server ? server : client;
    const auto back_to = fullnat ? from<Family>(local) : client;
    const auto destination = from_server ? back_to : from<Family>(vip);
    const std::uint16_t back_port = fullnat ? static_cast<std::uint16_t>(2000 + (who >> 2U)) : client_port;
    const std::size_t length = (tcp ? 20U : 8U) + payload;
    const std::uint8_t protocol = tcp ? packet::protocol_tcp : packet::protocol_udp;
    packet::write_ip_header<Family>(l3, source, destination, protocol, length);
    packet::store(l4, __builtin_bswap16(from_server ? std::uint16_t{8080} : client_port));
    packet::store(l4 + 2, __builtin_bswap16(from_server ? back_port : vip_port));
    if (tcp) {
      packet::store(l4 + 4, __builtin_bswap32(std::uint32_t{input.word()} << 16U | who));
      packet::store(l4 + 8, __builtin_bswap32(std::uint32_t{input.word()} << 16U | shape));
      l4[12] = 5 << 4;
      l4[13] = input.byte() & 0x3fU;
    } else {
      packet::store(l4 + 4, __builtin_bswap16(static_cast<std::uint16_t>(length)));
    }
    std::uint8_t* checksum = l4 + (tcp ? 16 : 6);
    packet::store(checksum, packet::l4_checksum<Family>(source, destination, protocol, {l4, length}));
    handle(std::move(frame), true);
  }

  // An ICMP error with a right checksum about what was forwarded last, cut short and with some bytes changed.
  template <class Family>
  void error(Bytes& input) {
    const std::uint8_t kind = input.byte();
    const std::uint8_t length = input.byte();
    std::vector<std::uint8_t> quote(forwarded_.begin() + 14, forwarded_.end());
    quote.resize(std::min<std::size_t>(quote.size(), length));
    for (std::size_t changes = kind >> 6U; changes > 0 && !quote.empty(); --changes) {
      const std::size_t place = input.byte() % quote.size();
      quote[place] = input.byte();
    }
    std::vector<std::uint8_t> frame(14 + Family::header_size + 8);
    packet::store(frame.data() + 12, __builtin_bswap16(Family::ether_type));
    const auto source = from<Family>(201);  // a router
    const auto destination = from<Family>((kind & 0x10U) != 0 ? vip : local);
    const std::uint8_t protocol = Family::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp;
    packet::write_ip_header<Family>(frame.data() + 14, source, destination, protocol, 8 + quote.size());
    frame[14 + Family::header_size] =
        Family::is_v6 ? 1 + kind % 4 : std::array<std::uint8_t, 4>{3, 11, 12, 5}[kind % 4];
    frame.insert(frame.end(), quote.begin(), quote.end());
    packet::PacketView view = packet::parse(frame, frame.size(), {});
    require(view.kind == packet::PacketKind::icmp);
    packet::write_icmp_checksum<Family>(view);
    if (packet::is_icmp_error(view) && balancer().translate_error<Family>(view).kind == l4::Verdict::Kind::forward) {
      const packet::PacketView turned = packet::parse(frame, frame.size(), {});
      require(turned.kind == packet::PacketKind::icmp && packet::quote_in<Family>(turned).has_value());
    }
  }

  template <class Family>
  static typename Family::Address from(std::uint8_t last) {
    const service::Address whole = address(Family::is_v6, last);
    return packet::load<typename Family::Address>(whole.v6().data() + (Family::is_v6 ? 0 : 12));
  }

  template <class Family>
  void check(std::vector<std::uint8_t>& frame, bool formed) {
    if (!formed) {
      return;
    }
    const packet::PacketView view = packet::parse(frame, frame.size(), {});
    require(view.kind == packet::PacketKind::l4);
    require(packet::l4_checksum<Family>(view.source<Family>(), view.destination<Family>(), view.protocol,
                                        {view.l4, view.l4_length}) == 0);
    forwarded_ = frame;
  }

  void handle(std::vector<std::uint8_t> frame, bool formed) {
    const packet::PacketView view = packet::parse(frame, frame.size(), {});
    require_the_short_way_agrees(frame, view);
    require(!formed || view.kind == packet::PacketKind::l4 || view.kind == packet::PacketKind::dropped);
    if (view.kind == packet::PacketKind::l4) {
      view.is_v6 ? receive<packet::Ipv6>(std::move(frame), view, formed)
                 : receive<packet::Ipv4>(std::move(frame), view, formed);
    }
  }

  // What the short parser takes, parse() takes, too, and says the same of it.
  static void require_the_short_way_agrees(std::vector<std::uint8_t>& frame, const packet::PacketView& whole) {
    if (frame.size() < 14) {
      return;
    }
    packet::PacketView plain;
    const bool taken =
        (is_ether_type<packet::Ipv4>(frame) && packet::parse_plain_tcp<packet::Ipv4>(frame, frame.size(), {}, plain)) ||
        (is_ether_type<packet::Ipv6>(frame) && packet::parse_plain_tcp<packet::Ipv6>(frame, frame.size(), {}, plain));
    if (!taken) {
      return;
    }
    require(whole.kind == packet::PacketKind::l4 && plain.l3 == whole.l3 && plain.l4 == whole.l4 &&
            plain.l4_length == whole.l4_length && plain.tcp_payload == whole.tcp_payload &&
            plain.l3_length == whole.l3_length && plain.is_v6 == whole.is_v6 && plain.protocol == whole.protocol &&
            plain.tcp_flags == whole.tcp_flags);
  }

  template <class Family>
  static bool is_ether_type(const std::vector<std::uint8_t>& frame) {
    return packet::load<std::uint16_t>(frame.data() + 12) == __builtin_bswap16(Family::ether_type);
  }

  // As the worker does: the fast path, what that does not know, and at the end of a burst the flows that open. The
  // packet of such a flow that has not opened yet ends the burst.
  template <class Family>
  void receive(std::vector<std::uint8_t> frame, packet::PacketView view, bool formed) {
    const std::uint64_t hash = balancer().hash_of<Family>(view);
    auto candidate = balancer().candidate<Family>(balancer().index_line<Family>(hash), hash);
    if (candidate.ask_second) {
      candidate.value = balancer().candidate_in_second<Family>(hash);
    }
    if (balancer().forward_known<Family>(view, candidate.value).hop.value != 0) {
      check<Family>(frame, formed);
      return;
    }
    if (std::ranges::any_of(held_, [&](const Held& held) { return held.hash == hash; })) {
      end_burst();
    }
    l4::Opening<Family> opening;
    const l4::Verdict verdict = balancer().begin<Family>(view, hash, opening);
    require(verdict.kind != l4::Verdict::Kind::hand_off && verdict.kind != l4::Verdict::Kind::ask_home);
    if (verdict.kind == l4::Verdict::Kind::opening) {
      held_.push_back({std::move(frame), view, hash, formed, opening});
    } else if (verdict.kind == l4::Verdict::Kind::forward) {
      check<Family>(frame, formed);
    }
  }

  void end_burst() {
    for (Held& held : held_) {
      const auto finish = [&]<class Family>(l4::Opening<Family>& opening) {
        if (balancer().finish<Family>(held.view, opening).kind == l4::Verdict::Kind::forward) {
          check<Family>(held.frame, held.formed);
        }
      };
      std::visit(finish, held.opening);
    }
    held_.clear();
  }

  // A flow that opens, until its burst ends.
  struct Held {
    std::vector<std::uint8_t> frame;
    packet::PacketView view;
    std::uint64_t hash;
    bool formed;
    std::variant<l4::Opening<packet::Ipv4>, l4::Opening<packet::Ipv6>> opening;
  };
  static constexpr std::size_t most_held = 32;

  service::Snapshot snapshot_;
  fuzz::Ground ground_;
  std::vector<Held> held_;
  std::vector<std::uint8_t> forwarded_ = std::vector<std::uint8_t>(14);  // the last frame that went on
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

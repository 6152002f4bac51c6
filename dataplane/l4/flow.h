// A flow: one connection (TCP) or exchange (UDP) that layer 4 forwards, found from either direction. One type serves
// every mode and both families; what differs is in rewrite.h.
//
//   IPv4, 64 bytes = one cache line, the only one of the flow that an established packet touches:
//    0 client  4 vip  8 local  12 server                 addresses; the client side is (client, vip),
//   16 client_port 18 vip_port 20 local_port 22 server_port   the server side (server, local); `nat`: local = client
//   24 client_sequence_end 28 client_acknowledgment      what the client sent and acknowledged, in its numbers
//   32 server_sequence_end 36 server_acknowledgment      the same of the server, in its numbers
//   40 sequence_delta                                    server-side numbers of the client's data - the client's own
//   44 next 48 previous                                  the timer list that the flow is in (flow_timers.h)
//   52 backend:24, status: state 4, mode 2, first FIN 2   first FIN: 1 the client, 2 the server closed first; in
//                                                        header_sent and option_sent 3: both; before the handshake is
//                                                        complete: how the server is to be told the client's address
//   56 listener 58 last_seen                             ticks of 1/16 s, wrapping (see flow_timers.h)
//   60 client_hop 62 server_hop                          next hops, cached (neighbor/); 0 = look it up
//   IPv6: the same with 16-byte addresses, 112 bytes used of 128 = two cache lines.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "dataplane/packet/family.h"
#include "dataplane/packet/sequence.h"
#include "dataplane/packet/view.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::l4 {

enum class FlowState : std::uint8_t {
  free,
  udp,
  syn_sent,      // the client's SYN has passed
  syn_received,  // the server's SYN-ACK has passed; half-open until the client acknowledges
  header_sent,   // the handshake is complete, and the server has not acknowledged our PROXY header (proxy_header.h)
  option_sent,   // the same, and the server has acknowledged no data that came with the option (client_option.h)
  established,
  half_closed,    // one side has sent FIN
  closing,        // both have; the last acknowledgment is missing
  lingering,      // ended; kept so that late packets are still forwarded, first to go when room is needed
  client_closed,  // one-sided: the client has sent FIN. Whether the server has, nobody here sees: it counts no more,
                  // and is forwarded as long as the client acknowledges
  // Taken over in its middle by a packet of the one side; half-open until the other side has spoken (adoption.cc).
  adopted_from_client,
  adopted_from_server,
};

// Which side a packet comes from.
enum class Side : std::uint8_t { client, server };

[[nodiscard]] constexpr std::size_t number(Side side) {
  return static_cast<std::size_t>(side);
}
[[nodiscard]] constexpr Side opposite(Side side) {
  return static_cast<Side>(number(side) ^ 1U);
}

// Index of a flow in its table.
struct FlowIndex {
  std::uint32_t value = 0;
  friend bool operator==(FlowIndex, FlowIndex) = default;
};

template <class Family>
struct alignas(64) Flow {
  using Address = typename Family::Address;

  Address client;
  Address vip;
  Address local;
  Address server;
  std::uint16_t client_port;  // all ports in network order
  std::uint16_t vip_port;
  std::uint16_t local_port;
  std::uint16_t server_port;
  packet::Sequence client_sequence_end;
  packet::Sequence client_acknowledgment;
  packet::Sequence server_sequence_end;
  packet::Sequence server_acknowledgment;
  std::uint32_t sequence_delta;
  std::uint32_t next;
  std::uint32_t previous;
  std::uint32_t backend : 24;
  std::uint8_t status;
  service::ListenerId listener;
  std::uint16_t last_seen;
  std::uint16_t client_hop;
  std::uint16_t server_hop;

  [[nodiscard]] FlowState state() const { return static_cast<FlowState>(status & 0xfU); }
  void set_state(FlowState state) {
    status = static_cast<std::uint8_t>((status & 0xf0U) | static_cast<unsigned>(state));
  }
  [[nodiscard]] service::Mode mode() const { return static_cast<service::Mode>(status >> 4U & 3U); }
  void set_mode(service::Mode mode) {
    status = static_cast<std::uint8_t>((status & ~0x30U) | static_cast<unsigned>(mode) << 4U);
  }
  // The state, in a flow that is not one-sided: two questions of the fast path as one.
  [[nodiscard]] bool is_two_sided(FlowState state) const { return (status & 0x2fU) == static_cast<unsigned>(state); }
  [[nodiscard]] std::uint32_t first_fin() const { return status >> 6U; }
  void set_first_fin(std::uint32_t side) { status = static_cast<std::uint8_t>((status & 0x3fU) | side << 6U); }
  // How the server is to be told the client's address once the handshake is complete. Nothing any more afterwards.
  [[nodiscard]] service::ClientAddress owed_address() const {
    const bool opening = state() == FlowState::syn_sent || state() == FlowState::syn_received;
    return opening ? static_cast<service::ClientAddress>(first_fin()) : service::ClientAddress::none;
  }
  // Is its server to be told the client's address, or being told it?
  [[nodiscard]] bool tells_client() const { return told() || owed_address() != service::ClientAddress::none; }
  // Has it been told, and has not acknowledged it?
  [[nodiscard]] bool told() const { return state() == FlowState::header_sent || state() == FlowState::option_sent; }
  void owe_address(service::ClientAddress how) { set_first_fin(static_cast<std::uint32_t>(how)); }
  // Seen from the client's side alone, and found by it alone.
  [[nodiscard]] bool one_sided() const { return service::is_one_sided(mode()); }
  [[nodiscard]] service::BackendId backend_id() const { return {backend}; }
  [[nodiscard]] std::uint8_t protocol() const {
    return state() == FlowState::udp ? packet::protocol_udp : packet::protocol_tcp;
  }
  // Does it count as a connection of its server?
  [[nodiscard]] bool counts() const { return state() != FlowState::lingering && state() != FlowState::client_closed; }
  [[nodiscard]] bool adopted() const {
    return state() == FlowState::adopted_from_client || state() == FlowState::adopted_from_server;
  }
  [[nodiscard]] bool half_open() const {
    return state() == FlowState::syn_sent || state() == FlowState::syn_received || adopted();
  }

  // The tuple of packets that come from a side. Addresses and ports stand in the entry so that their places follow from
  // the side: half of the packets come from either, in no order, and a branch would be mispredicted as often as not.
  [[nodiscard]] packet::Tuple<Family> tuple_from(Side side) const {
    const auto* bytes = reinterpret_cast<const std::byte*>(this);
    const std::byte* ports = bytes + 4 * sizeof(Address);
    return {packet::load<Address>(bytes + 3 * sizeof(Address) * number(side)),
            packet::load<Address>(bytes + sizeof(Address) * (1 + number(side))),
            packet::load<std::uint16_t>(ports + 6 * number(side)),
            packet::load<std::uint16_t>(ports + 2 + 2 * number(side)), protocol()};
  }
  // The same for the packet path, as words that stand so in the packet: addresses, and both ports. `local` and `server`
  // follow `client` and `vip` in the order of a packet to the server, so one direction turns what the other takes as it
  // is.
  [[nodiscard]] packet::AddressPair<Family> addresses_from(Side side) const { return addresses(side, side); }
  [[nodiscard]] packet::AddressPair<Family> addresses_towards(Side side) const {
    return addresses(side, opposite(side));
  }
  [[nodiscard]] std::uint32_t ports_from(Side side) const { return ports(side, side); }
  [[nodiscard]] std::uint32_t ports_towards(Side side) const { return ports(side, opposite(side)); }
  // By side, for the same reason.
  [[nodiscard]] packet::Sequence& sequence_end(Side side) { return at<packet::Sequence>(ends_at + 8 * number(side)); }
  [[nodiscard]] packet::Sequence& acknowledgment(Side side) {
    return at<packet::Sequence>(ends_at + 4 + 8 * number(side));
  }
  [[nodiscard]] std::uint16_t& hop_towards(Side side) { return at<std::uint16_t>(hops_at + 2 * number(side)); }

  // The tuple of packets that come from the client, and of those from the server.
  [[nodiscard]] packet::Tuple<Family> client_side() const { return {client, vip, client_port, vip_port, protocol()}; }
  [[nodiscard]] packet::Tuple<Family> server_side() const {
    return {server, local, server_port, local_port, protocol()};
  }

 private:
  static constexpr std::size_t ends_at = 4 * sizeof(Address) + 8;
  static constexpr std::size_t hops_at = ends_at + 36;
  // The pair of one end of the flow; turned round when `turned` is the server.
  [[nodiscard]] packet::AddressPair<Family> addresses(Side end, Side turned) const {
    const auto* pair = reinterpret_cast<const std::byte*>(this) + 2 * sizeof(Address) * number(end);
    if constexpr (Family::is_v6) {
      const std::size_t first = 16 * number(turned);
      const auto source = packet::load<std::array<std::uint64_t, 2>>(pair + first);
      const auto destination = packet::load<std::array<std::uint64_t, 2>>(pair + 16 - first);
      return {{source[0], source[1], destination[0], destination[1]}};
    } else {
      return {{std::rotl(packet::load<std::uint64_t>(pair), 32 * static_cast<int>(number(turned)))}};
    }
  }
  [[nodiscard]] std::uint32_t ports(Side end, Side turned) const {
    const auto* pair = reinterpret_cast<const std::byte*>(this) + 4 * sizeof(Address) + 4 * number(end);
    return std::rotl(packet::load<std::uint32_t>(pair), 16 * static_cast<int>(number(turned)));
  }
  template <class Field>
  [[nodiscard]] Field& at(std::size_t offset) {
    return *std::launder(reinterpret_cast<Field*>(reinterpret_cast<std::byte*>(this) + offset));
  }
};

// Mode's upper bit, alone, says that a flow is one-sided (is_two_sided()).
static_assert([] {
  using service::Mode;
  return static_cast<unsigned>(Mode::fullnat) < 2 && static_cast<unsigned>(Mode::dr) >= 2 && is_one_sided(Mode::dr);
}());
static_assert(sizeof(Flow<packet::Ipv4>) == 64);
static_assert(sizeof(Flow<packet::Ipv6>) == 128);
// The places that are found from a side.
template <class Family>
inline constexpr bool is_laid_out_by_side = [] {
  using Entry = Flow<Family>;
  constexpr std::size_t ends = 4 * sizeof(typename Family::Address) + 8;
  return offsetof(Entry, client_sequence_end) == ends && offsetof(Entry, client_acknowledgment) == ends + 4 &&
         offsetof(Entry, server_sequence_end) == ends + 8 && offsetof(Entry, server_acknowledgment) == ends + 12 &&
         offsetof(Entry, client_hop) == ends + 36 && offsetof(Entry, server_hop) == ends + 38;
}();
static_assert(is_laid_out_by_side<packet::Ipv4> && is_laid_out_by_side<packet::Ipv6>);

}  // namespace steelyard::l4

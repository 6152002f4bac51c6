// What an administrator watches of the traffic: a tap has a filter and, for each worker, a ring that the worker fills
// with events or with copies of packets and that control empties. Control publishes the taps of the moment by one store
// and frees them by RCU; a worker looks once a turn whether there are any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/l4/flow_filter.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/packet/view.h"
#include "dataplane/service/address.h"
#include "dataplane/service/listener_index.h"
#include "dataplane/worker/record_ring.h"

namespace steelyard::worker {

// One end of what a packet's headers say. Ports are in host order.
struct PacketEnd {
  service::Address address;
  std::uint16_t port = 0;
};

// A packet as far as filters ask: who sends what to whom, and whose it is.
struct Passage {
  PacketEnd source;
  PacketEnd destination;
  std::uint8_t protocol = 0;
  bool has_ports = false;  // not so fragments but the first, and what is neither TCP nor UDP
  // The flow that it belongs to, or that the packet in an ICMP error belongs to, and the side that it comes from. Of
  // TCP that ends here: client, listener and server of the request that is under way, as far as there are any.
  std::optional<l4::FlowRecord> flow;
  l4::Side from = l4::Side::client;
  // Of an ICMP error: the packet that it is about, as we have sent it.
  std::optional<packet::Tuple<packet::Ipv4>> quoted_v4;
  std::optional<packet::Tuple<packet::Ipv6>> quoted_v6;
  std::uint64_t datagram = 0;   // of a fragment: a keyed hash of what names its datagram; 0: no fragment
  bool first_fragment = false;  // it has the ports
};

// All conditions that are set must hold; at least one is. Both directions, both sides of a flow.
struct TapFilter {
  std::optional<service::Prefix> client;
  std::optional<service::VipKey> service;

  // Any thread.
  [[nodiscard]] bool matches(const Passage& passage) const;
  // Is the packet one of the client's, as far as can be told?
  [[nodiscard]] bool is_from_client(const Passage& passage) const;

 private:
  [[nodiscard]] bool allows(const PacketEnd& client_end, const PacketEnd& service_end, std::uint8_t protocol,
                            bool has_ports) const;
  [[nodiscard]] bool allows_either(const PacketEnd& source, const PacketEnd& destination, std::uint8_t protocol,
                                   bool has_ports) const;
};

// What became of a packet: bits, for a packet can open a flow and wait for its next hop.
namespace fact {
inline constexpr std::uint16_t opened = 1U << 0U;       // it made a flow
inline constexpr std::uint16_t adopted = 1U << 1U;      // the flow was made in the middle of a connection
inline constexpr std::uint16_t forwarded = 1U << 2U;    // it was rewritten and sent on
inline constexpr std::uint16_t dropped = 1U << 3U;      // `reason`
inline constexpr std::uint16_t handed_over = 1U << 4U;  // to another worker, which says what became of it there
inline constexpr std::uint16_t to_kernel = 1U << 5U;
inline constexpr std::uint16_t waits = 1U << 6U;        // for its next hop, or for its datagram's first fragment
inline constexpr std::uint16_t reset = 1U << 7U;        // the sender was answered by a reset
inline constexpr std::uint16_t unreachable = 1U << 8U;  // the sender was answered by an ICMP error
inline constexpr std::uint16_t echoed = 1U << 9U;       // an echo request was answered
inline constexpr std::uint16_t translated = 1U
                                            << 10U;   // an ICMP error was turned into one about the other side's packet
inline constexpr std::uint16_t split = 1U << 11U;     // it was sent on in pieces
inline constexpr std::uint16_t consumed = 1U << 12U;  // it was for us: TCP that ends here, and what neighbours say
}  // namespace fact

// The record of a tap of events: a packet as it came, and what became of it.
struct PacketEvent {
  std::uint64_t time_ns = 0;  // of the workers' clock
  PacketEnd source;
  PacketEnd destination;
  PacketEnd server;  // the flow's; unspecified without a flow
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  std::uint32_t fragment_offset = 0;
  std::uint16_t length = 0;   // of the IP packet
  std::uint16_t payload = 0;  // of layer 4
  std::uint16_t facts = 0;
  std::uint16_t worker = 0;
  packet::DropReason reason{};
  packet::PacketKind kind{};
  std::uint8_t protocol = 0;
  std::uint8_t tcp_flags = 0;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  bool has_ports = false;
  bool from_client = false;
  bool handed_in = false;  // by another worker
};

// The head of a record of a tap of packets; the packet's first bytes follow it.
struct PacketCopy {
  std::uint64_t time_ns = 0;
  std::uint32_t length = 0;  // of the frame
  std::uint16_t link = 0;    // place of the port
  bool outbound = false;
};

// Datagrams whose first fragment was wanted: the later ones may not say whose they are. Bounded: a datagram takes the
// place of another one, whose later fragments are then known by their addresses alone. One worker.
class DatagramMemory {
 public:
  // Is the fragment wanted? `fits`: by what it says itself.
  [[nodiscard]] bool follow(std::uint64_t datagram, bool first, bool fits) {
    std::uint64_t& known = known_[datagram % known_.size()];
    if (!first) {
      return fits || known == datagram;
    }
    if (fits) {
      known = datagram;
    } else if (known == datagram) {
      known = 0;  // the name was another datagram's before
    }
    return fits;
  }

 private:
  std::array<std::uint64_t, 256> known_{};
};

struct Tap {
  // `ring_bytes` for each worker: a power of two.
  Tap(TapFilter some_filter, std::uint32_t some_snaplen, std::size_t workers, std::size_t ring_bytes)
      : filter(some_filter), snaplen(some_snaplen) {
    for (std::size_t worker = 0; worker < workers; ++worker) {
      rings.push_back(std::make_unique<RecordRing>(ring_bytes));
      datagrams.push_back(std::make_unique<DatagramMemory>());
    }
  }

  TapFilter filter;
  std::uint32_t snaplen;                                   // bytes of a packet that are copied; 0: a tap of events
  std::vector<std::unique_ptr<RecordRing>> rings;          // by worker
  std::vector<std::unique_ptr<DatagramMemory>> datagrams;  // by worker, which alone reads and writes it
};

// What is published; null when nobody looks.
struct Taps {
  static constexpr std::size_t most = 4;  // at once: each costs every packet a comparison
  std::vector<std::shared_ptr<Tap>> taps;
};

}  // namespace steelyard::worker

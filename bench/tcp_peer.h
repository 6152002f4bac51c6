// The other side of a million TCP connections, in process: clients of a stack's listener, or servers that it connects
// to, which answer by formula. What a connection's number gives is never kept: its endpoints and both initial numbers
// of the peer. Kept are 12 octets each: what the stack has said of itself, and how far the peer is. Shared by the
// benchmarks and the unit tests; pure, knows no DPDK, no clock and no randomness.
//
//   connection n: peer's address (n mod addresses), a port that is 1024 + n / addresses: the peer's when it is a
//   client, the stack's when it is a server
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/traffic.h"
#include "dataplane/tcp/endpoints.h"
#include "dataplane/tcp/segment.h"

namespace steelyard::bench {

enum class PeerRole : std::uint8_t { client, server };

class TcpPeer {
 public:
  static constexpr std::uint16_t service_port = 80;
  static constexpr std::uint16_t segment_size = 1'460;
  static constexpr std::uint16_t window = 0xffff;  // of every segment, scaled by 7

  // Connections 0 to `count` - 1.
  TcpPeer(PeerRole role, std::size_t count)
      : role_(role),
        addresses_(static_cast<std::uint32_t>(count / flows_an_address + least_addresses)),
        sides_(count) {}

  [[nodiscard]] std::size_t count() const { return sides_.size(); }

  // As the stack names them: `remote` is the peer.
  [[nodiscard]] tcp::Endpoints endpoints(std::uint64_t n) const {
    const auto port = static_cast<std::uint16_t>(first_client_port + n / addresses_);
    const auto address = static_cast<std::uint32_t>(host::client + n % addresses_);
    const bool client = role_ == PeerRole::client;
    return {.remote = tcp::mapped(address_of<packet::Ipv4>(address)),
            .local = tcp::mapped(address_of<packet::Ipv4>(host::vip)),
            .remote_port = client ? port : service_port,
            .local_port = client ? service_port : port};
  }
  // The connection that has these endpoints; count() or more when none of the peer's has.
  [[nodiscard]] std::uint64_t number_of(const tcp::Endpoints& endpoints) const {
    const std::uint16_t port = role_ == PeerRole::client ? endpoints.remote_port : endpoints.local_port;
    const std::uint32_t address = bench::number_of(tcp::ipv4_of(endpoints.remote)) - host::client;
    if (address >= addresses_ || port < first_client_port) {
      return count();
    }
    return std::uint64_t{port - std::uint32_t{first_client_port}} * addresses_ + address;
  }

  // --- what the peer sends -----------------------------------------------------------------------------------------
  // `now_ms` is the clock of its timestamps.
  [[nodiscard]] tcp::Segment syn(std::uint64_t n, std::uint32_t now_ms) {
    sides_[n] = {.sent = 1};
    tcp::Segment segment = bare(n, tcp::flag::syn, now_ms);
    segment.sequence = client_isn(n);
    segment.acknowledgment = {};
    segment.options.segment_size = segment_size;
    segment.options.has_window_scale = true;
    segment.options.window_scale = 7;
    segment.options.sack_permitted = true;
    return segment;
  }
  // A server's answer to the SYN that it has heard().
  [[nodiscard]] tcp::Segment syn_ack(std::uint64_t n, std::uint32_t now_ms) {
    const Side heard = sides_[n];
    tcp::Segment segment = syn(n, now_ms);
    sides_[n].next = heard.next;
    sides_[n].timestamp = heard.timestamp;
    segment.flags = tcp::flag::syn | tcp::flag::ack;
    segment.acknowledgment = {heard.next};
    segment.options.timestamp_echo = heard.timestamp;
    return segment;
  }
  // An acknowledgment of all that it has heard().
  [[nodiscard]] tcp::Segment acknowledgment(std::uint64_t n, std::uint32_t now_ms) const {
    return bare(n, tcp::flag::ack, now_ms);
  }
  [[nodiscard]] tcp::Segment data(std::uint64_t n, tcp::Slice payload, std::uint32_t now_ms) {
    tcp::Segment segment = bare(n, tcp::flag::ack | tcp::flag::psh, now_ms);
    segment.payload = payload;
    sides_[n].sent += payload.length;
    return segment;
  }
  [[nodiscard]] tcp::Segment fin(std::uint64_t n, std::uint32_t now_ms) {
    const tcp::Segment segment = bare(n, tcp::flag::fin | tcp::flag::ack, now_ms);
    ++sides_[n].sent;
    return segment;
  }

  // --- what the peer hears -----------------------------------------------------------------------------------------
  // The stack has sent this, in order.
  struct Heard {
    std::uint64_t n;
    packet::Sequence end;  // behind the segment
    std::uint32_t timestamp;
    std::uint32_t payload;
    std::uint8_t flags;
  };
  [[nodiscard]] Heard read(const tcp::Endpoints& endpoints, const tcp::Outgoing& segment) const {
    std::uint32_t payload = 0;
    for (const tcp::Slice& slice : segment.payload) {
      payload += slice.length;
    }
    const std::uint32_t flags = (segment.has(tcp::flag::syn) ? 1U : 0U) + (segment.has(tcp::flag::fin) ? 1U : 0U);
    return {number_of(endpoints), segment.sequence + payload + flags, segment.options.timestamp, payload,
            segment.flags};
  }
  // Has it heard this before? The stack has repeated it.
  [[nodiscard]] bool knows(const Heard& segment) const {
    return !packet::after(segment.end, packet::Sequence{sides_[segment.n].next});
  }
  void heard(const Heard& segment) {
    if (segment.n < count()) {
      sides_[segment.n].next = segment.end.value;
      sides_[segment.n].timestamp = segment.timestamp;
    }
  }

 private:
  // RFC 6056 section 2.2: a client has some 60,000 ports; what makes the load look like one of many clients.
  static constexpr std::uint32_t least_addresses = 16;

  struct Side {
    std::uint32_t next = 0;       // of the stack
    std::uint32_t sent = 0;       // sequence numbers behind the peer's initial one
    std::uint32_t timestamp = 0;  // of the stack, the latest
  };
  static_assert(sizeof(Side) == 12);

  [[nodiscard]] tcp::Segment bare(std::uint64_t n, std::uint32_t flags, std::uint32_t now_ms) const {
    tcp::Segment segment;
    segment.sequence = client_isn(n) + sides_[n].sent;
    segment.acknowledgment = {sides_[n].next};
    segment.window = window;
    segment.flags = static_cast<std::uint8_t>(flags);
    segment.options.has_timestamps = true;
    segment.options.timestamp = now_ms;
    segment.options.timestamp_echo = sides_[n].timestamp;
    return segment;
  }

  PeerRole role_;
  std::uint32_t addresses_;
  std::vector<Side> sides_;
};

}  // namespace steelyard::bench

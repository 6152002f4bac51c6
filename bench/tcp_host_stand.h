// The stand that TCP is measured on from packet to packet: a TcpHost with N open connections, frames of its peer
// (tcp_peer.h) in prepared mbufs, and a driver that gives back what is sent. As a worker does it: parse a burst, let
// the host expect it, hand over one by one, let the application act. Checksums are the port's. Nothing here is for
// production.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <rte_mbuf.h>

#include "bench/shuffled.h"
#include "bench/tcp_peer.h"
#include "dataplane/nic/pools.h"
#include "dataplane/worker/tcp_host.h"

namespace steelyard::bench {

class TcpHostStand final : private worker::TcpHostOutput, private worker::TcpApplication {
 public:
  static constexpr std::size_t most_packets = 32'768;

  // All connections are open when it is made. Throws std::runtime_error.
  explicit TcpHostStand(std::size_t connections);
  ~TcpHostStand() override;
  TcpHostStand(const TcpHostStand&) = delete;
  TcpHostStand& operator=(const TcpHostStand&) = delete;

  [[nodiscard]] TcpPeer& peer() { return peer_; }
  // `count` open connections, drawn anew, in no order; all of them when there are no more.
  [[nodiscard]] std::vector<std::uint32_t> draw(std::size_t count) { return order_.draw(count); }
  [[nodiscard]] std::uint32_t now_ms() const { return tcp::milliseconds_of(worker::TcpHost::time_of(now_ns_)); }
  void advance(std::uint64_t ns) { now_ns_ += ns; }
  // A received packet: the peer's segment with `payload` octets that nobody reads.
  [[nodiscard]] rte_mbuf* packet(std::uint64_t n, const tcp::Segment& segment, std::uint32_t payload);
  // Sends `octets` on a connection, by reference to one buffer that all share.
  void send(std::uint64_t n, std::uint32_t octets);
  // The timed part: nothing of it allocates.
  void receive(std::span<rte_mbuf* const> packets);
  // Lets the peer hear what was sent, and runs timers; not timed.
  void settle();

  [[nodiscard]] std::uint64_t delivered() const { return delivered_octets_; }
  [[nodiscard]] std::uint64_t copied() const { return host_->counters().copied.get(); }
  [[nodiscard]] std::size_t nodes() const { return host_->queue_nodes_used(); }

 private:
  std::optional<neighbor::HopIndex> hop_to(const service::Address&) override { return neighbor::HopIndex{1}; }
  [[nodiscard]] Link link_of(neighbor::HopIndex) const override {
    return {.takes_chains = true, .computes_checksum = true};
  }
  void send_segment(rte_mbuf* packet, neighbor::HopIndex) override;

  void attach(worker::TcpHost& host) override { host.stack().listen({}, TcpPeer::service_port, settings_); }
  void detach() override {}
  void accepted(tcp::ConnectionId id, tcp::ListenerIndex) override { accepted_.push_back(id); }
  void deliver(tcp::ConnectionId id, const tcp::Slice& slice) override { delivered_.push_back({id, slice}); }
  void notify(tcp::ConnectionId, tcp::Event) override {}
  void over(tcp::ConnectionId, tcp::Cause) override {}
  std::size_t turn(tcp::Time now) override;
  void open(std::span<const std::uint32_t> numbers);

  struct Delivered {
    tcp::ConnectionId id;
    tcp::Slice slice;
  };

  std::uint64_t now_ns_ = 1'000'000'000'000;
  TcpPeer peer_;
  tcp::Settings settings_;
  nic::MbufPool received_;
  nic::MbufPool headers_;
  nic::MbufPool clones_;
  nic::MbufPool payload_;
  nic::Packet shared_;  // what send() sends
  std::vector<TcpPeer::Heard> sent_;
  std::vector<tcp::ConnectionId> accepted_;
  std::vector<Delivered> delivered_;
  std::uint64_t delivered_octets_ = 0;
  std::vector<tcp::ConnectionId> ids_;
  Shuffled order_;
  std::unique_ptr<worker::TcpHost> host_;
};

}  // namespace steelyard::bench

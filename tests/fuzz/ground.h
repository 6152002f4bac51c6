// What a balancer stands on in the fuzz targets: its tables, a clock, neighbours that have been asked for, and an
// output that goes nowhere.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <vector>

#include "dataplane/l4/balancer.h"
#include "tests/fuzz/input.h"

namespace steelyard::fuzz {

inline constexpr std::size_t flows = 64;
inline constexpr std::size_t backends = 64;
inline constexpr std::uint64_t second = 1'000'000'000;
inline constexpr std::uint8_t own = 199;    // the port's own address
inline constexpr std::uint8_t local = 200;  // of the pool

[[nodiscard]] inline service::Address address(bool v6, std::uint8_t last) {
  if (v6) {
    return service::Address::from_v6(
        std::array<std::uint8_t, 16>{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
  }
  return service::Address::from_v4(std::array<std::uint8_t, 4>{10, 0, 0, last});
}

class Nowhere final : public l4::BalancerOutput, public neighbor::NeighborOutput {
 public:
  bool send_built(std::span<const std::uint8_t> packet, bool is_v6, neighbor::HopIndex) override {
    require(!packet.empty() && packet[0] >> 4U == (is_v6 ? 6 : 4));
    return true;
  }
  void send_frame(std::uint16_t, std::span<const std::uint8_t>) override {}
  void release(rte_mbuf*, neighbor::HopIndex) override {}
  void give_up(rte_mbuf*, packet::DropReason) override {}
};

class Ground {
 public:
  // Without an `output` what the balancer builds goes nowhere.
  explicit Ground(const service::Snapshot& snapshot, l4::BalancerOutput* output = nullptr)
      : listeners_(snapshot.listeners.size()), schedulers_(snapshot.listeners.size()) {
    backends_.commit(backends);
    tunnels_.commit(backends);
    active_.commit(backends);
    others_.commit(backends);
    listeners_.commit(snapshot.listeners.size());
    sources_.commit();
    schedulers_.commit(snapshot.listeners.size());
    l4::BalancerSetup setup;
    setup.key = key_;
    setup.memory_v4 = {memory_v4_.get(), l4::FlowTable<packet::Ipv4>::memory_needed(flows)};
    setup.memory_v6 = {memory_v6_.get(), l4::FlowTable<packet::Ipv6>::memory_needed(flows)};
    setup.flows_v4 = setup.flows_v6 = flows;
    setup.own_addresses = {address(false, own), address(true, own)};
    setup.local_addresses = {address(false, local), address(true, local)};
    setup.local_ports = {2000, 2031};
    setup.persistence = {&persistence_};
    setup.backends = &backends_;
    setup.tunnels = &tunnels_;
    setup.path_mtus = &path_mtus_;
    setup.tunnel_ports = {{1'500, setup.own_addresses}};
    setup.active = &active_;
    setup.listeners = {&listeners_};
    setup.sources = {&sources_};
    setup.schedulers = &schedulers_;
    setup.others = &others_;
    setup.others_version = &others_version_;
    setup.neighbors = &neighbors_;
    setup.output = output != nullptr ? output : &output_;
    balancer = std::make_unique<l4::Balancer>(setup);
    balancer->set_snapshot(&snapshot);
    balancer->set_time(now_);
  }

  // Its link-layer address is known, so that flows find the fast path.
  void introduce(const service::Address& host) {
    neighbor::NeighborMessage message;
    message.sender = packet::load<neighbor::IpKey>(host.v6().data());
    message.sender_mac = {2, 0, 0, 0, 0, 1};
    message.has_sender_mac = true;
    require(neighbors_.find(message.sender, 0, now_).has_value());
    neighbors_.learn(message, 0, now_);
  }

  void pass(std::uint64_t nanoseconds) {
    now_ += nanoseconds;
    balancer->set_time(now_);
    for (int turn = 0; turn < 8 && balancer->expire(flows) != 0; ++turn) {
    }
  }

  // After everything has expired.
  void require_empty() const {
    require(balancer->flows() == 0);
    for (std::size_t backend = 0; backend < backends; ++backend) {
      require(active_[backend].get() == 0);
    }
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<std::byte, Free>;
  static Memory aligned(std::size_t size) {
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, (size + 63) / 64 * 64));
    std::fill_n(memory, size, std::byte{0});
    return Memory(memory);
  }

  packet::HashKey key_{{0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f0}};
  Nowhere output_;
  l4::PersistenceTable persistence_{16, key_};
  l4::PathMtuTable path_mtus_{key_};
  service::StableArray<l4::BackendCounters> backends_{backends};
  service::StableArray<l4::TunnelEnd> tunnels_{backends};
  service::StableArray<service::Gauge> active_{backends};
  service::StableArray<service::Gauge> others_{backends};
  service::StableArray<l4::ListenerCounters> listeners_;
  l4::SourceTable sources_{8};
  service::StableArray<schedule::Scheduler> schedulers_;
  std::atomic<std::uint64_t> others_version_{0};
  neighbor::NeighborTable neighbors_{{neighbor::PortAddresses{}}, {64, 32, 4, 16}, key_, output_};
  Memory memory_v4_ = aligned(l4::FlowTable<packet::Ipv4>::memory_needed(flows));
  Memory memory_v6_ = aligned(l4::FlowTable<packet::Ipv6>::memory_needed(flows));
  std::uint64_t now_ = second;

 public:
  std::unique_ptr<l4::Balancer> balancer;
};

}  // namespace steelyard::fuzz

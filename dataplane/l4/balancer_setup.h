// What a worker's balancer (balancer.h) is made of, and what it asks of the worker.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/l4/bandwidth.h"
#include "dataplane/l4/counters.h"
#include "dataplane/l4/local_ports.h"
#include "dataplane/l4/path_mtu.h"
#include "dataplane/l4/persistence.h"
#include "dataplane/l4/source_table.h"
#include "dataplane/l4/tunnel.h"
#include "dataplane/neighbor/neighbor_table.h"
#include "dataplane/packet/hash.h"
#include "dataplane/schedule/scheduler.h"
#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/stable_array.h"

namespace steelyard::l4 {

// What the balancer asks of its worker besides the verdicts. Slow path only.
class BalancerOutput {
 public:
  virtual ~BalancerOutput() = default;
  // Sends an IP packet that the balancer has built. False: there was no buffer.
  virtual bool send_built(std::span<const std::uint8_t> ip_packet, bool is_v6, neighbor::HopIndex hop) = 0;
};

// What tunnels need to know of a port. Our own addresses on it are the sources of outer headers when the pool of local
// addresses has none of the family.
struct TunnelPort {
  std::uint16_t mtu = 1500;
  std::vector<service::Address> addresses;
};

// What a worker's balancer is made of; everything referred to outlives it.
struct BalancerSetup {
  service::WorkerId worker;
  std::size_t workers = 1;
  packet::HashKey key;
  // Of full NAT's initial sequence numbers. Key and clock go on over a restart: the servers still hold the TIME_WAITs
  // of the process before, and judge our numbers by them.
  packet::HashKey sequence_key;
  std::uint64_t sequence_clock_ns = 0;  // at time 0
  std::uint64_t seed = 0;               // of port order and answer numbers
  std::span<std::byte> memory_v4;
  std::span<std::byte> memory_v6;
  std::size_t flows_v4 = 0;
  std::size_t flows_v6 = 0;
  std::vector<service::Address> own_addresses;  // the ports' own: never a flow's, whoever talks to them
  std::vector<service::Address> local_addresses;
  PortRange local_ports;
  PortRange terminated_ports{1, 0};            // of local addresses, too: TCP to them is layer 7's; empty: none
  std::vector<PersistenceTable*> persistence;  // by worker
  service::StableArray<BackendCounters>* backends = nullptr;       // this worker's, by BackendId
  service::StableArray<TunnelEnd>* tunnels = nullptr;              // the same
  std::vector<service::StableArray<ListenerCounters>*> listeners;  // by worker; each by ListenerId
  std::vector<SourceTable*> sources;                               // by worker
  PathMtuTable* path_mtus = nullptr;                               // all workers'
  std::vector<TunnelPort> tunnel_ports;                            // by PortIndex
  service::StableArray<service::Gauge>* active = nullptr;  // this worker's connections that have not ended, as well
  service::StableArray<schedule::Scheduler>* schedulers = nullptr;  // this worker's, by ListenerId
  // Connections that the other workers have, by BackendId, summed by control every 10 ms or sooner.
  const service::StableArray<service::Gauge>* others = nullptr;
  const std::atomic<std::uint64_t>* others_version = nullptr;  // grows with every sum
  // Connections that this worker may have at servers with max_connections, by BackendId: control's word.
  const service::StableArray<service::Gauge>* permits = nullptr;
  // By ListenerId: this worker's meters of listeners with a limit, and its part of their rates, in bytes a second.
  service::StableArray<BandwidthMeter>* meters = nullptr;
  const service::StableArray<service::Counter>* bandwidth_shares = nullptr;
  neighbor::NeighborTable* neighbors = nullptr;
  BalancerOutput* output = nullptr;
};

}  // namespace steelyard::l4

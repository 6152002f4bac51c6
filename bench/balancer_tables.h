// What a worker's balancer is lent, for benchmarks with one worker: tables that hold what their cases put there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/l4/balancer_setup.h"

namespace steelyard::bench {

struct BalancerTables {
  packet::HashKey key{{0x243f6a8885a308d3U, 0x13198a2e03707344U, 0xa4093822299f31d0U, 0x082efa98ec4e6c89U}};
  service::StableArray<l4::BackendCounters> backends{service::max_backends};
  service::StableArray<l4::TunnelEnd> tunnels{service::max_backends};
  l4::PathMtuTable path_mtus{key};
  service::StableArray<service::Gauge> active{service::max_backends};
  service::StableArray<service::Gauge> others{service::max_backends};
  service::StableArray<l4::ListenerCounters> listeners{service::max_listeners + 1};
  service::StableArray<schedule::Scheduler> schedulers{service::max_listeners + 1};
  std::atomic<std::uint64_t> others_version{0};
  l4::PersistenceTable persistence{1'024, key};

  // Gives memory to what is used with so many servers.
  void commit(std::size_t servers) {
    backends.commit(servers);
    tunnels.commit(servers);
    active.commit(servers);
    others.commit(servers);
    schedulers.commit(2);
    listeners.commit(2);
  }
  // They must outlive the balancer.
  void put_into(l4::BalancerSetup& setup) {
    setup.key = key;
    setup.seed = 1;
    setup.persistence = {&persistence};
    setup.backends = &backends;
    setup.tunnels = &tunnels;
    setup.path_mtus = &path_mtus;
    setup.active = &active;
    setup.listeners = {&listeners};
    setup.schedulers = &schedulers;
    setup.others = &others;
    setup.others_version = &others_version;
  }
};

}  // namespace steelyard::bench

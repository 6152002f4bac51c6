// The whole data plane as control sees it: starts EAL, pools, ports, exception interfaces and workers from plain
// settings, publishes snapshots, carries commands to workers, and stops it all in the right order. Control thread only,
// except where said; no call but start() and the destructor waits for a worker.
//
//   dataplane.cc        start and stop, workers, publication, counters
//   dataplane_links.cc  devices, VLANs, exception interfaces, rings, multicast groups
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/nic/eal.h"
#include "dataplane/nic/exception.h"
#include "dataplane/nic/exception_thread.h"
#include "dataplane/nic/group_membership.h"
#include "dataplane/nic/lock.h"
#include "dataplane/nic/pools.h"
#include "dataplane/nic/port.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/worker/bandwidth_divider.h"
#include "dataplane/worker/http_application.h"
#include "dataplane/worker/http_plan.h"
#include "dataplane/worker/permit_ledger.h"
#include "dataplane/worker/tcp_plan.h"
#include "dataplane/worker/worker.h"

namespace steelyard::worker {

struct ExceptionPlan {
  std::string name;
  std::string network_namespace;
  bool manage = true;
};

// A port that is a VLAN of another one.
struct VlanPlan {
  std::size_t carrier = 0;  // the other port's place
  std::uint16_t id = 0;     // 1..4094
};

struct PortPlan {
  std::string name;
  std::string device;  // empty: a VLAN
  std::optional<VlanPlan> vlan;
  std::uint16_t mtu = 1500;
  std::vector<service::Prefix> addresses;  // host bits are the address
  std::optional<ExceptionPlan> exception;  // none: no kernel-side interface
  std::vector<nic::KernelRoute> kernel_routes;
};

struct DataplaneSettings {
  nic::Hugepages hugepages = nic::Hugepages::automatic;
  std::vector<std::uint16_t> worker_cpus;  // one a worker
  bool adaptive = true;
  std::uint32_t coalesce_us = 0;          // most that turns wait for packets to gather, on ports that call the kernel
  std::size_t flows_v4 = 262'144;         // per worker
  std::size_t flows_v6 = 65'536;          // per worker
  std::uint32_t packet_buffers = 16'384;  // per worker
  std::vector<PortPlan> ports;
  std::vector<service::Address> local_addresses;
  l4::PortRange local_ports;
  std::optional<HttpPlan> http;             // none: no HTTP listeners
  std::optional<TcpPlan> tcp;               // of tests' services; not together with `http`
  std::size_t persistent_clients = 65'536;  // per worker
  std::size_t limited_sources = 131'072;    // per worker; 4 MiB, once a listener has limits per source
  std::string run_folder{nic::runtime_folder};
};

// What the start-up log tells.
struct DataplaneReport {
  bool hugepages = false;
  std::uint64_t flow_table_bytes = 0;     // all workers
  std::uint64_t packet_buffer_bytes = 0;  // all workers
  std::uint64_t connection_bytes = 0;     // all workers: tables of TCP that ends here, its buffers apart
  std::vector<nic::PortReport> ports;
};

class Dataplane {
 public:
  // Everything up to the workers' first turn, with `snapshot` published. Errors are sentences for the administrator.
  [[nodiscard]] static nic::Result<std::unique_ptr<Dataplane>> start(const DataplaneSettings& settings,
                                                                     std::shared_ptr<const service::Snapshot> snapshot);
  ~Dataplane();
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  [[nodiscard]] const DataplaneReport& report() const { return report_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] std::size_t workers() const { return workers_.size(); }
  [[nodiscard]] const Worker& worker(std::size_t place) const { return *workers_[place]; }
  // Of the configuration, VLANs included.
  [[nodiscard]] std::size_t ports() const { return links_.size(); }
  [[nodiscard]] const std::string& port_name(std::size_t place) const { return links_[place].name; }
  // The device that sends and receives for a port; one for all VLANs that it carries.
  [[nodiscard]] const nic::Port& device(std::size_t place) const { return devices_[links_[place].device]; }
  // The port's VLAN; 0: none.
  [[nodiscard]] std::uint16_t vlan(std::size_t place) const { return links_[place].vlan; }
  // Multicast groups of VIPs and local addresses that the kernel's side of ports would not join: switches that look at
  // MLD may keep solicitations from us.
  [[nodiscard]] std::size_t refused_memberships() const { return refused_memberships_; }
  // Of a port's exception interface; nothing when it has none.
  [[nodiscard]] std::optional<nic::ExceptionCounters> exception_counters(std::size_t port) const;

  // Ends the workers, and closes the ports: the end of it all, and the destructor's first step. What workers have told
  // (access_ring()) is still there; nothing else may be asked.
  void stop();

  // Makes room for ids up to these, on every worker. Before a snapshot with such ids is published.
  void commit(std::size_t listeners, std::size_t backends);

  // Makes room for what single sources have open, if a listener limits that. Before such a snapshot is published; takes
  // a millisecond for each worker the first time, so any one thread may do it.
  void commit_sources(const service::Snapshot& snapshot);

  // The same of what PROXY headers tell, if a listener takes them.
  void commit_addresses(const service::Snapshot& snapshot);

  // Swaps the configuration of all workers. The old one is kept until every worker has let go of it.
  void publish(std::shared_ptr<const service::Snapshot> snapshot);
  // What workers let administrators watch from their next turn on; null: nothing. The old set is kept until every
  // worker has let go of it.
  void publish_taps(std::shared_ptr<const Taps> taps);
  // Frees what nobody reads any more. Call it every few milliseconds.
  void reclaim();
  // How long the latest publication took until every worker had let go of the one before: an upper bound, as fine as
  // reclaim() is called. Nanoseconds; 0 while it is under way.
  [[nodiscard]] std::uint64_t adoption_ns() const { return adoption_ns_; }
  // Snapshots that wait to be freed.
  [[nodiscard]] std::size_t retired() const { return retired_.size(); }

  // Looks at the devices' links. When one has come up, the workers announce the VIPs anew. Returns the ports whose link
  // is another than at the last call, with what it is now; VLANs change with the port that carries them. Asks the
  // driver: call it a few times a second.
  struct LinkChange {
    std::size_t port = 0;
    nic::LinkStatus now;
  };
  [[nodiscard]] std::vector<LinkChange> watch_links();

  // Sums connection counts over workers, for wlc and for control, and moves what workers may use of limits to where it
  // is needed: permits of servers, bandwidth of listeners. Call it every 10 ms or more often.
  void sum_connections();
  // Connections of a backend over all workers, as of now.
  [[nodiscard]] std::uint64_t active(service::BackendId backend) const;
  [[nodiscard]] std::uint32_t active(std::size_t worker, service::BackendId backend) const;
  // Of those, and of the flows of a client that has closed its half, which are no connections any more but would be
  // cut.
  [[nodiscard]] std::uint64_t served(service::BackendId backend) const;
  [[nodiscard]] const l4::BackendCounters& backend(std::size_t worker, service::BackendId backend) const;
  [[nodiscard]] const l4::BandwidthMeter& meter(std::size_t worker, service::ListenerId listener) const;

  [[nodiscard]] const l4::ListenerCounters& listener(std::size_t worker, service::ListenerId listener) const;

  // Connections of clients that end here, of a listener over all workers, as of now: an HTTP listener that was removed
  // is in Snapshot::terminated as long as there are some.
  [[nodiscard]] std::uint64_t terminated(service::ListenerId listener) const;
  // Null: there are no HTTP listeners. Any thread.
  [[nodiscard]] const http::ProxyCounters* http_counters(std::size_t worker) const {
    return http_.empty() ? nullptr : &http_[worker].application->counters();
  }
  // What a worker has counted of requests. Null: there are no HTTP listeners. Any thread.
  [[nodiscard]] const http::ListenerRequests* requests(std::size_t worker, service::ListenerId listener) const {
    return http_.empty() ? nullptr : &std::as_const(http_[worker].requests->listeners)[listener.value];
  }
  [[nodiscard]] const http::ServerRequests* requests(std::size_t worker, service::BackendId server) const {
    return http_.empty() ? nullptr : &std::as_const(http_[worker].requests->servers)[server.value];
  }
  // What a worker tells of requests; for one consumer. With `http` alone.
  [[nodiscard]] AccessRing& access_ring(std::size_t worker) { return *http_[worker].log; }

  // A worker's packet buffers, by what they are for. Takes a look at every CPU's cache. Any thread.
  struct BufferUse {
    std::string_view name;
    std::uint32_t size = 0;
    std::uint32_t used = 0;
  };
  [[nodiscard]] std::vector<BufferUse> buffers(std::size_t worker) const;

  // Posts a command to a worker. False: its mailbox is full. The command must live until it is done.
  [[nodiscard]] bool post(std::size_t worker, Command& command);

 private:
  struct PerWorker;
  Dataplane(const DataplaneSettings& settings, nic::Eal eal);
  nic::Result<void> open_ports(const DataplaneSettings& settings);
  nic::Result<void> open_exceptions(const DataplaneSettings& settings);
  void make_applications(DataplaneSettings& settings);
  void make_rings();
  void make_workers(const DataplaneSettings& settings);
  [[nodiscard]] PortLink link_of(std::size_t worker, std::size_t place) const;
  [[nodiscard]] WorkerSetup setup_of(std::size_t worker, const DataplaneSettings& settings);
  nic::Result<void> launch();
  void join_groups();
  void set_limits();
  void populate_requests(const service::Snapshot* old, const service::Snapshot& next);

  nic::Eal eal_;
  Clock clock_;
  DataplaneReport report_;
  packet::HashKey key_;
  packet::HashKey sequence_key_;
  std::uint64_t sequence_clock_ns_ = 0;
  std::uint64_t seed_ = 0;
  std::size_t worker_count_;
  std::vector<nic::DeviceLock> locks_;
  std::vector<nic::WorkerPools> pools_;
  std::vector<TcpPools> tcp_pools_;  // by worker, if TCP ends in them
  struct Http {
    std::unique_ptr<AccessRing> log;
    std::unique_ptr<RequestTables> requests;
    std::unique_ptr<HttpApplication> application;
  };
  std::vector<Http> http_;  // the same, if there may be HTTP listeners
  std::optional<nic::MbufPool> exception_pool_;
  struct Link {
    std::string name;
    std::size_t device = 0;
    std::uint16_t vlan = 0;
    std::size_t carrier = 0;  // its own place, unless it is a VLAN
    bool was_up = true;       // watch_links()
    std::vector<service::Address> addresses;
    std::optional<nic::GroupMembership> groups;  // of the kernel's side
  };
  std::atomic<std::uint64_t> links_came_up_{0};
  std::vector<Link> links_;  // the configuration's ports
  std::vector<nic::Port> devices_;
  std::vector<service::Address> local_addresses_;
  std::size_t refused_memberships_ = 0;
  std::shared_ptr<const service::AddressSet> joined_vips_;  // whose multicast groups the ports hear
  std::vector<std::optional<std::size_t>> exception_of_port_;
  std::unique_ptr<nic::ExceptionThread> exception_thread_;
  std::vector<std::unique_ptr<PerWorker>> per_worker_;
  // [from * workers + to]
  std::vector<std::unique_ptr<PacketRing>> hand_off_;
  // [device * workers + from]; null where `from` has a queue of the port
  std::vector<std::unique_ptr<PacketRing>> relays_;
  std::vector<std::unique_ptr<l4::PersistenceTable>> persistence_;
  std::unique_ptr<l4::PathMtuTable> path_mtus_;
  std::vector<std::unique_ptr<l4::SourceTable>> sources_;
  std::atomic<std::uint64_t> others_version_{0};
  std::size_t backends_ = 0;
  std::shared_ptr<const service::Snapshot> current_;
  std::atomic<const service::Snapshot*> published_{nullptr};
  struct Retired {
    std::shared_ptr<const service::Snapshot> snapshot;
    std::uint64_t token;
    std::uint64_t published_at;
  };
  std::deque<Retired> retired_;
  std::shared_ptr<const Taps> taps_;
  std::atomic<const Taps*> published_taps_{nullptr};
  struct RetiredTaps {
    std::shared_ptr<const Taps> taps;
    std::uint64_t token;
  };
  std::deque<RetiredTaps> retired_taps_;
  std::uint64_t adoption_ns_ = 0;
  struct FreeAligned {
    void operator()(void* memory) const;
  };
  std::unique_ptr<rte_rcu_qsbr, FreeAligned> rcu_;
  std::optional<PermitLedger> permits_;
  std::optional<BandwidthDivider> bandwidth_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stop_{false};
  bool launched_ = false;
};

}  // namespace steelyard::worker

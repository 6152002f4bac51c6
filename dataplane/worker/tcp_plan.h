// What the data plane needs to know, and to have, for TCP that ends in its workers. Control thread.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/nic/pools.h"
#include "dataplane/worker/tcp_host.h"

namespace steelyard::worker {

struct TcpPlan {
  std::vector<service::Address> addresses;    // whose TCP it is; VIPs of the snapshot, so that they are answered for
  bool all_ports = true;                      // of the addresses; false: of the local ports alone
  std::vector<TcpApplication*> applications;  // one a worker; they outlive the data plane
  tcp::StackLimits limits;                    // per worker
  std::size_t queue_nodes = 65'536;           // per worker: slices in all queues
  std::uint32_t most_held = 0;                // per worker: received buffers that TCP may hold; 0: 60%
  std::uint32_t payload_buffers = 8'192;      // per worker: for what applications make themselves
  l4::PortRange local_ports{32'768, 65'535};  // of connections that we open
};

// Of one worker.
struct TcpPools {
  nic::MbufPool clones;
  nic::MbufPool payload;

  [[nodiscard]] static nic::Result<TcpPools> create(const TcpPlan& plan, std::size_t worker);
};

// Bytes of packet buffers that the plan adds to a worker.
[[nodiscard]] std::size_t buffer_bytes(const TcpPlan& plan);
// The same without hugepages, where each buffer takes a page.
[[nodiscard]] std::size_t buffer_bytes_in_small_pages(const TcpPlan& plan);

// Bytes of tables that the plan adds to a worker.
[[nodiscard]] std::size_t table_bytes(const TcpPlan& plan);

// The host of a worker, whose other pools are `own`.
[[nodiscard]] TcpHostSetup host_setup(const TcpPlan& plan, TcpPools& pools, nic::WorkerPools& own, std::size_t worker);

}  // namespace steelyard::worker

#include "dataplane/worker/tcp_plan.h"

#include <utility>

#include <fmt/format.h>
#include <rte_memory.h>

#include "dataplane/worker/secrets.h"

namespace steelyard::worker {
namespace {

// Clones wait for nothing but transmit rings and neighbours.
constexpr std::uint32_t clone_buffers = 16'384;
constexpr std::size_t overhead = 256;  // of a buffer without room

}  // namespace

nic::Result<TcpPools> TcpPools::create(const TcpPlan& plan, std::size_t worker) {
  auto clones = nic::MbufPool::create(
      {.name = fmt::format("clones_{}", worker), .buffers = clone_buffers, .frame_room = nic::no_room});
  if (!clones) {
    return tl::unexpected(clones.error());
  }
  auto payload = nic::MbufPool::create({.name = fmt::format("payload_{}", worker), .buffers = plan.payload_buffers});
  if (!payload) {
    return tl::unexpected(payload.error());
  }
  return TcpPools{std::move(*clones), std::move(*payload)};
}

std::size_t buffer_bytes(const TcpPlan& plan) {
  return clone_buffers * overhead + plan.payload_buffers * (overhead + nic::smallest_frame_room + RTE_PKTMBUF_HEADROOM);
}

std::size_t buffer_bytes_in_small_pages(const TcpPlan& plan) {
  return clone_buffers * overhead + plan.payload_buffers * std::size_t{RTE_PGSIZE_4K};
}

std::size_t table_bytes(const TcpPlan& plan) {
  return tcp::Stack::memory_needed(plan.limits) + plan.queue_nodes * sizeof(tcp::Node) +
         plan.limits.connections * TcpHost::bytes_a_connection();
}

TcpHostSetup host_setup(const TcpPlan& plan, TcpPools& pools, nic::WorkerPools& own, std::size_t worker) {
  TcpHostSetup setup;
  setup.limits = plan.limits;
  fill_randomly(setup.secrets);
  setup.queue_nodes = plan.queue_nodes;
  setup.addresses = plan.addresses;
  setup.all_ports = plan.all_ports;
  setup.local_ports = plan.local_ports;
  setup.workers = static_cast<std::uint32_t>(plan.applications.size());
  setup.received = &own.receive;
  setup.most_held = plan.most_held;
  setup.headers = &own.generate;
  setup.clones = &pools.clones;
  setup.payload = &pools.payload;
  setup.application = plan.applications[worker];
  return setup;
}

}  // namespace steelyard::worker

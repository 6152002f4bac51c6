#include "dataplane/nic/pools.h"

#include <algorithm>

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_lcore.h>

namespace steelyard::nic {
namespace {

// A worker's own packets wait for nothing but the transmit queue: its descriptors, a cache and some bursts.
constexpr std::uint32_t generated_buffers = 4096;

// What every core may keep in its cache must be a small part of the pool, or one core's cache starves the others.
std::uint16_t cache_for(const MbufPoolSettings& settings) {
  const auto limit =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(settings.buffers / 8, RTE_MEMPOOL_CACHE_MAX_SIZE));
  return std::min(settings.cache, limit);
}

}  // namespace

std::uint16_t frame_room(std::uint16_t mtu) {
  constexpr unsigned overhead = RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN + RTE_ETHER_CRC_LEN;
  const unsigned room = std::max<unsigned>(smallest_frame_room, mtu + overhead);
  // Whole cache lines; drivers want the room in units of 128 (e1000, ixgbe: 1 KiB, rounded down by them).
  return static_cast<std::uint16_t>(std::min<unsigned>((room + 127u) & ~127u, UINT16_MAX - RTE_PKTMBUF_HEADROOM));
}

Result<MbufPool> MbufPool::create(const MbufPoolSettings& settings) {
  if (settings.buffers == 0) {
    return failure(fmt::format("packet pool {}: no buffers are configured", settings.name));
  }
  const unsigned headroom = settings.frame_room == no_room ? 0U : RTE_PKTMBUF_HEADROOM;
  const auto room = static_cast<std::uint16_t>(settings.frame_room + headroom);
  rte_mempool* pool = rte_pktmbuf_pool_create_by_ops(settings.name.c_str(), settings.buffers, cache_for(settings),
                                                     packet_private_size, room, settings.numa_node, "ring_mt_rts");
  if (pool == nullptr) {
    const int reason = rte_errno;
    const double mebibytes =
        static_cast<double>(settings.buffers) * (sizeof(rte_mbuf) + packet_private_size + room) / 1048576.0;
    return failure(fmt::format("packet pool {}: {} buffers of {} bytes ({:.0f} MiB) cannot be made: {}{}",
                               settings.name, settings.buffers, room, mebibytes, rte_strerror(reason),
                               reason == ENOMEM ? "; give DPDK more memory or lower `memory: packet_buffers`" : ""));
  }
  return MbufPool(pool);
}

std::size_t MbufPool::buffer_bytes() const {
  return pool_->header_size + pool_->elt_size + pool_->trailer_size;
}

Result<WorkerPools> WorkerPools::create(const Settings& settings) {
  Result<MbufPool> receive = MbufPool::create({.name = fmt::format("receive_{}", settings.worker),
                                               .buffers = settings.receive_buffers,
                                               .frame_room = nic::frame_room(settings.largest_mtu),
                                               .numa_node = settings.numa_node});
  if (!receive) {
    return failure(std::move(receive.error().message));
  }
  Result<MbufPool> generate = MbufPool::create({.name = fmt::format("generate_{}", settings.worker),
                                                .buffers = generated_buffers,
                                                .numa_node = settings.numa_node});
  if (!generate) {
    return failure(std::move(generate.error().message));
  }
  return WorkerPools{std::move(*receive), std::move(*generate)};
}

}  // namespace steelyard::nic

// Packet buffers. Each worker has a pool that its receive queues fill from and a small one for packets it makes itself,
// so that answering (RST, ARP, ICMP) never competes with receiving. Sizes are fixed at start: an empty pool is an
// answer, never a reason to allocate.
//
//   element:  rte_mbuf (128) | private 64: the worker's own notes | headroom 128 | frame
//
// A pool is emptied and filled by threads that the kernel may preempt (the exception thread frees what it has written).
// The default `ring_mp_mc` lets a preempted thread stop every other one that gives a buffer back; the relaxed tail sync
// ring (`ring_mt_rts`) does not, so that is what all pools stand on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <rte_mbuf.h>

#include "dataplane/nic/error.h"

namespace steelyard::nic {

// Bytes behind each rte_mbuf that belong to the worker (rte_mbuf_to_priv).
inline constexpr std::uint16_t packet_private_size = 64;

// net_af_packet refuses a pool whose buffers are smaller than its ring's frames, 2,048 bytes unless `framesz` says
// else.
inline constexpr std::uint16_t smallest_frame_room = 2048;

struct PacketDeleter {
  void operator()(rte_mbuf* packet) const { rte_pktmbuf_free(packet); }
};
// Owner of one packet, all segments of it.
using Packet = std::unique_ptr<rte_mbuf, PacketDeleter>;

// Of buffers that only point into others (indirect ones).
inline constexpr std::uint16_t no_room = 0;

// Bytes of frame that a buffer must hold for this MTU: Ethernet, two VLAN tags, checksum; at least smallest_frame_room.
[[nodiscard]] std::uint16_t frame_room(std::uint16_t mtu);

struct MbufPoolSettings {
  std::string name{};  // unique in the process, at most 25 characters
  std::uint32_t buffers = 0;
  std::uint16_t frame_room = smallest_frame_room;  // bytes after the headroom; no_room: no headroom either
  std::uint16_t cache = 256;                       // buffers that each lcore may keep for itself
  int numa_node = -1;                              // -1: any
};

// Must outlive every packet taken from it, also those that a port still holds in its descriptors. Movable, not
// copyable. Created and destroyed by control; buffers may be taken and given back by any thread.
class MbufPool {
 public:
  [[nodiscard]] static Result<MbufPool> create(const MbufPoolSettings& settings);

  // Null when the pool is empty.
  [[nodiscard]] Packet allocate() { return Packet(rte_pktmbuf_alloc(pool_.get())); }
  // All of `packets` or none of them. The caller owns them.
  [[nodiscard]] bool allocate(std::span<rte_mbuf*> packets) {
    return rte_pktmbuf_alloc_bulk(pool_.get(), packets.data(), static_cast<unsigned>(packets.size())) == 0;
  }

  [[nodiscard]] rte_mempool* raw() const { return pool_.get(); }
  [[nodiscard]] std::uint32_t capacity() const { return pool_->size; }
  // Buffers in the pool and in all lcores' caches; exact only while nobody uses the pool.
  [[nodiscard]] std::uint32_t available() const { return rte_mempool_avail_count(pool_.get()); }
  // Hugepage or heap bytes that a buffer takes.
  [[nodiscard]] std::size_t buffer_bytes() const;

 private:
  struct Free {
    void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
  };
  explicit MbufPool(rte_mempool* pool) : pool_(pool) {}

  std::unique_ptr<rte_mempool, Free> pool_;
};

// The pools of one worker.
struct WorkerPools {
  MbufPool receive;   // every queue that the worker polls, on every port, fills from it
  MbufPool generate;  // packets the worker makes itself

  struct Settings {
    std::uint16_t worker = 0;           // counted from 0; part of the pools' names
    std::uint32_t receive_buffers = 0;  // `memory: packet_buffers`
    std::uint16_t largest_mtu = 1500;   // over all ports
    int numa_node = -1;
  };
  [[nodiscard]] static Result<WorkerPools> create(const Settings& settings);
};

}  // namespace steelyard::nic

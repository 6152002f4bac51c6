// One thread that carries packets between workers and all exception interfaces: a TAP costs a system call per packet,
// which no worker may pay. Workers only touch rings.
//
//   worker 0 --ring--\                              /--write--> TAP of port A
//   worker 1 --ring---+--> exception thread (ppoll)-+
//   worker 0 <--ring--/                              \<--read--- TAP of port A
//
// Each interface has one ring per worker towards the kernel and one ring from the kernel to its first worker, all with
// one producer and one consumer. The thread is not woken by workers (that would be their system call). While packets
// flow, it looks after everything every 100 microseconds; when they stop, less and less often, down to once a
// millisecond, but a packet from the kernel then wakes it at once. So a health probe's answer waits 100 microseconds,
// or a quarter of the time the server took; an unexpected packet to the kernel waits up to a millisecond.
//
// Both directions are capped in packets per second. What the kernel sends beyond its cap stays in the TAP's own
// queue, where the kernel drops and counts it (tx_dropped of the interface); reading it to throw it away would cost the
// very time that the cap is to save.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/nic/error.h"
#include "dataplane/nic/exception.h"
#include "dataplane/nic/pools.h"
#include "dataplane/nic/token_bucket.h"

namespace steelyard::nic {

struct ExceptionThreadSettings {
  std::uint16_t workers = 1;
  std::uint32_t ring_capacity = 1024;       // packets per ring, a power of two
  std::uint32_t to_kernel_rate = 50'000;    // packets per second and interface
  std::uint32_t from_kernel_rate = 50'000;  // packets per second and interface
};

// Where an interface's packets from the kernel go.
struct ExceptionAttachment {
  ExceptionInterface interface;
  std::uint16_t first_worker = 0;
};

// Totals of one interface.
struct ExceptionCounters {
  std::uint64_t to_kernel = 0;              // delivered
  std::uint64_t to_kernel_rate = 0;         // dropped: over the cap
  std::uint64_t to_kernel_write_error = 0;  // dropped: the kernel refused it (interface down, malformed)
  std::uint64_t from_kernel = 0;            // delivered to the worker's ring
  std::uint64_t from_kernel_ring_full = 0;  // dropped: the worker is too slow
  std::uint64_t from_kernel_no_buffer = 0;  // dropped: the pool is empty
  std::uint64_t from_kernel_oversized = 0;  // dropped: longer than a buffer
  std::uint64_t from_kernel_read_error = 0;
  std::uint64_t from_kernel_throttled = 0;  // rounds (not packets) in which reading was put off by the cap
};

// A worker's end of one interface. A small value; belongs to that worker. Valid while the thread object lives.
class KernelChannel {
 public:
  KernelChannel() = default;  // no interface: takes nothing, gives nothing

  [[nodiscard]] bool attached() const { return to_kernel_ != nullptr; }

  // Hands a frame (Ethernet header first, checksums complete) to the kernel. False: the ring is full, the packet still
  // belongs to the caller. The frame must not be touched afterwards.
  [[nodiscard]] bool send(rte_mbuf* packet) const {
    return to_kernel_ != nullptr && rte_ring_sp_enqueue(to_kernel_, packet) == 0;
  }
  // How many of `packets` were handed over; the rest still belong to the caller.
  [[nodiscard]] unsigned send(std::span<rte_mbuf*> packets) const;

  // Frames from the kernel, complete with checksums; they belong to the caller. 0 on workers other than the first one.
  [[nodiscard]] unsigned receive(std::span<rte_mbuf*> packets) const;

 private:
  friend class ExceptionThread;
  KernelChannel(rte_ring* to_kernel, rte_ring* from_kernel) : to_kernel_(to_kernel), from_kernel_(from_kernel) {}

  rte_ring* to_kernel_ = nullptr;
  rte_ring* from_kernel_ = nullptr;
};

// Runs from start() to the destructor. Control thread, except where said.
class ExceptionThread {
 public:
  // Buffers that the thread's own pool needs for `interfaces` interfaces: rings, and as many under way to a NIC.
  [[nodiscard]] static std::uint32_t buffers_needed(const ExceptionThreadSettings& settings, std::size_t interfaces);

  // `pool` gives the buffers for packets from the kernel; it outlives this object and every port they are sent on.
  [[nodiscard]] static Result<std::unique_ptr<ExceptionThread>> start(const ExceptionThreadSettings& settings,
                                                                      std::vector<ExceptionAttachment> attachments,
                                                                      MbufPool& pool);

  ExceptionThread(const ExceptionThread&) = delete;
  ExceptionThread& operator=(const ExceptionThread&) = delete;
  // Stops the thread and frees what is left in the rings. No worker may use its channels any more.
  ~ExceptionThread();

  // `interface` counts the attachments from 0.
  [[nodiscard]] KernelChannel channel(std::uint16_t worker, std::size_t interface) const;

  // Any thread; a moment's values.
  [[nodiscard]] ExceptionCounters counters(std::size_t interface) const;

 private:
  struct ReadResult;
  struct Lane;

  ExceptionThread(const ExceptionThreadSettings& settings, MbufPool& pool);
  Result<void> add_lane(ExceptionAttachment attachment);
  Result<void> launch();
  void run();
  // Both say whether there was something to do.
  bool deliver(Lane& lane, TokenBucket::TimePoint now);
  bool collect(Lane& lane, TokenBucket::TimePoint now);

  ExceptionThreadSettings settings_;
  MbufPool& pool_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  FileDescriptor stop_event_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace steelyard::nic

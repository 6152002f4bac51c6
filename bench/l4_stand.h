// The stand that layer 4 is measured on: one real worker with real flow tables behind a port that keeps what is sent
// (kept_port.h), a listener with eight servers, every next hop resolved, and flows opened by their handshakes. The
// packets are prepared mbufs; writing their headers is never in a timed region. Nothing here is for production.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "bench/balancer_tables.h"
#include "bench/kept_port.h"
#include "bench/traffic.h"
#include "dataplane/nic/eal.h"
#include "dataplane/nic/pools.h"
#include "dataplane/worker/worker.h"

namespace steelyard::bench {

inline constexpr std::size_t servers = 8;
inline constexpr std::size_t least_clients = 16;
inline constexpr std::size_t least_locals = 8;

// What is there once a process: DPDK, its pools and the port.
class Machine {
 public:
  // Takes `mbufs` packets for good. Throws std::runtime_error.
  Machine(nic::Hugepages pages, std::uint32_t memory_mib, std::uint32_t mbufs);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] bool hugepages() const { return eal_.hugepages(); }
  [[nodiscard]] KeptPort& port() { return port_; }
  [[nodiscard]] nic::MbufPool& generate() { return generate_; }
  [[nodiscard]] const worker::Clock& clock() const { return clock_; }
  // The first `count` packets in an order that does not follow their addresses.
  [[nodiscard]] std::vector<rte_mbuf*> shuffled_packets(std::size_t count) const;

 private:
  nic::Eal eal_;
  nic::MbufPool generate_;
  nic::MbufPool pool_;
  KeptPort port_;
  worker::Clock clock_;
  std::vector<rte_mbuf*> packets_;
};

struct StandPlan {
  service::Mode mode = service::Mode::nat;
  std::size_t established = 0;  // flows that are opened at once
  std::size_t further = 0;      // room for flows that stay half-open: the timed ones
  service::Scheduler scheduler = service::Scheduler::wrr;
};

template <class Family>
class Stand {
 public:
  // Throws std::runtime_error when a packet took another way than it should.
  Stand(Machine& machine, const StandPlan& plan);
  ~Stand();
  Stand(const Stand&) = delete;
  Stand& operator=(const Stand&) = delete;

  // Headers of an established flow's data or acknowledgment, from the client or, where it answers through us, from the
  // server.
  void write_established(rte_mbuf* packet, std::uint64_t flow, l4::Side from);
  // The first packet of flow number `flow`.
  void write_syn(rte_mbuf* packet, std::uint64_t flow);

  // Hands all packets to the worker in bursts; the timed region.
  void forward(std::span<rte_mbuf*> packets) {
    for (std::size_t at = 0; at < packets.size(); at += worker::burst_size) {
      worker_->receive(packets.subspan(at, std::min(worker::burst_size, packets.size() - at)), 0);
    }
  }
  // The floor: the same bursts, their MAC addresses exchanged, sent by the same driver.
  void swap(std::span<rte_mbuf*> packets) const;

  // Everything that is still in a transmit buffer leaves.
  void flush() { worker_->turn(); }
  [[nodiscard]] std::uint64_t forwarded() const { return worker_->packets().forwarded.get(); }
  // Packets whose checksums are wrong or that are addressed to a MAC that is nobody's.
  [[nodiscard]] std::size_t count_wrong(std::span<rte_mbuf* const> packets) const;
  // Bytes of entry and index that one flow takes.
  [[nodiscard]] double bytes_per_flow() const {
    return static_cast<double>(table_bytes_) / static_cast<double>(capacity_);
  }

 private:
  // What a flow's number does not tell: the worker decided it.
  struct Choice {
    std::uint32_t sequence_delta;
    std::uint16_t local_port;  // network order
    std::uint8_t local;
    std::uint8_t server;
  };

  [[nodiscard]] std::shared_ptr<const service::Snapshot> make_snapshot(const StandPlan& plan) const;
  [[nodiscard]] worker::WorkerSetup make_setup();
  void introduce();
  void establish(std::size_t flows);
  void answer_for(std::uint32_t host);
  void receive_one(rte_mbuf* packet) { worker_->receive(std::span(&packet, 1), 0); }
  void write(rte_mbuf* packet, const TcpFrame<Family>& frame) const;
  [[nodiscard]] rte_mbuf* generated();
  [[nodiscard]] packet::Tuple<Family> client_side(std::uint64_t flow) const;
  [[nodiscard]] packet::Tuple<Family> server_side(std::uint64_t flow, const Choice& choice) const;
  [[nodiscard]] Choice choice_in(const rte_mbuf* packet, std::uint64_t flow) const;
  [[nodiscard]] neighbor::MacAddress port_mac() const;

  struct FreeMemory {
    void operator()(std::byte* memory) const { rte_free(memory); }
  };

  Machine& machine_;
  std::size_t clients_;
  std::size_t locals_;
  std::size_t capacity_;
  std::size_t table_bytes_;
  bool full_nat_;
  bool direct_;  // one-sided
  bool tunnel_;
  std::unique_ptr<std::byte, FreeMemory> memory_;
  std::unique_ptr<std::byte, FreeMemory> other_memory_;  // of the other family, without flows
  BalancerTables tables_;
  worker::Mailbox mailbox_{"bench_mailbox", 64};
  std::shared_ptr<const service::Snapshot> snapshot_;
  std::atomic<const service::Snapshot*> published_{nullptr};
  std::unique_ptr<worker::Worker> worker_;
  std::vector<Choice> choices_;
};

}  // namespace steelyard::bench

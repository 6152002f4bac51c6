// A port whose driver costs nothing and loses nothing: net_null with its burst functions replaced, so that what the
// worker sends stays with the benchmark and can be received again. Buffers of the pool that the worker makes its own
// packets from are freed, as a NIC would; or all that is sent is kept for who plays the link.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/nic/pools.h"
#include "dataplane/nic/port.h"

namespace steelyard::bench {

// One thread. Must outlive the workers that use it; one at a time.
class KeptPort {
 public:
  // `generated`: the pool whose packets are freed when sent while setting up. Throws std::runtime_error.
  explicit KeptPort(nic::MbufPool& generated) : generated_(generated.raw()), port_(open(generated)) {
    auto& operations = rte_eth_fp_ops[port_.id()];
    operations.rx_pkt_burst = [](void*, rte_mbuf**, std::uint16_t) -> std::uint16_t { return 0; };
    operations.tx_pkt_burst = [](void* queue, rte_mbuf** packets, std::uint16_t count) {
      return static_cast<KeptPort*>(queue)->send(packets, count);
    };
    // The queue's handle is the driver's own business: here it leads back to this object.
    operations.txq.data = queues_.data();
  }
  KeptPort(const KeptPort&) = delete;
  KeptPort& operator=(const KeptPort&) = delete;

  [[nodiscard]] const nic::Port& port() const { return port_; }
  // While on, packets of the generating pool are freed, at the price of a look at every packet.
  void set_freeing(bool freeing) { freeing_ = freeing; }
  // Takes packets of several buffers and computes TCP checksums, as NICs do and net_null does not say. Before there are
  // workers.
  void pretend_offloads() {
    auto& report = const_cast<nic::PortReport&>(port_.report());  // of an object that is not const
    report.multi_segment_tx = true;
    report.tx_checksum.tcp = true;
  }
  // From now on what is sent is appended to `kept`, which has room for it, and is its owner's.
  void keep(std::vector<rte_mbuf*>* kept) { kept_ = kept; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }

 private:
  static nic::Port open(nic::MbufPool& pool) {
    nic::PortSettings settings;
    settings.name = "bench";
    settings.device = "net_null0";
    const std::array<rte_mempool*, 1> pools{pool.raw()};
    auto port = nic::Port::open(settings, pools);
    if (!port) {
      throw std::runtime_error(port.error().message);
    }
    if (auto started = port->start(); !started) {
      throw std::runtime_error(started.error().message);
    }
    return std::move(*port);
  }

  std::uint16_t send(rte_mbuf** packets, std::uint16_t count) {
    sent_ += count;
    if (kept_ != nullptr) {
      kept_->insert(kept_->end(), packets, packets + count);
      return count;
    }
    for (std::uint16_t place = 0; freeing_ && place < count; ++place) {
      if (packets[place]->pool == generated_) {
        rte_pktmbuf_free(packets[place]);
      }
    }
    return count;
  }

  std::array<void*, RTE_MAX_QUEUES_PER_PORT> queues_ = [this] {
    std::array<void*, RTE_MAX_QUEUES_PER_PORT> queues;
    queues.fill(this);
    return queues;
  }();
  rte_mempool* generated_;
  std::vector<rte_mbuf*>* kept_ = nullptr;
  bool freeing_ = true;
  std::uint64_t sent_ = 0;
  nic::Port port_;
};

}  // namespace steelyard::bench

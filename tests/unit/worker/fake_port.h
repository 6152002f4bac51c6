// A port without a wire: DPDK's net_null with its burst functions replaced, so that a queue gives what a test puts into
// it and what is sent is remembered. Needs no privileges. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/nic/pools.h"
#include "dataplane/nic/port.h"
#include "tests/unit/packet_builder.h"

namespace steelyard::test {

class FakePort {
 public:
  // `device`: "net_null0" and the like, one name a port. Throws std::runtime_error.
  FakePort(const std::string& device, nic::MbufPool& pool, std::uint16_t queues) : port_(open(device, pool, queues)) {
    for (std::size_t place = 0; place < handles_.size(); ++place) {
      queues_[place].port = this;
      handles_[place] = &queues_[place];
    }
    auto& operations = rte_eth_fp_ops[port_.id()];
    operations.rx_pkt_burst = [](void* queue, rte_mbuf** packets, std::uint16_t count) {
      return static_cast<Queue*>(queue)->give(packets, count);
    };
    operations.tx_pkt_burst = [](void* queue, rte_mbuf** packets, std::uint16_t count) {
      return static_cast<Queue*>(queue)->port->send(packets, count);
    };
    // A queue's handle is the driver's own business: here it leads back to this object.
    operations.rxq.data = handles_.data();
    operations.txq.data = handles_.data();
  }
  FakePort(const FakePort&) = delete;
  FakePort& operator=(const FakePort&) = delete;

  [[nodiscard]] const nic::Port& port() const { return port_; }
  // The packet comes in on a queue; the worker that polls it owns it then.
  void arrive(std::uint16_t queue, rte_mbuf* packet) { queues_.at(queue).arrived.push_back(packet); }
  [[nodiscard]] std::vector<Frame>& sent() { return sent_; }
  [[nodiscard]] std::uint64_t sent_in_all() const { return sent_in_all_; }
  // How many more packets the driver takes before its ring is full.
  void set_room(std::size_t packets) { room_ = packets; }

 private:
  struct Queue {
    FakePort* port = nullptr;
    std::deque<rte_mbuf*> arrived;

    std::uint16_t give(rte_mbuf** packets, std::uint16_t most) {
      std::uint16_t count = 0;
      for (; count < most && !arrived.empty(); ++count) {
        packets[count] = arrived.front();
        arrived.pop_front();
      }
      return count;
    }
  };

  static nic::Port open(const std::string& device, nic::MbufPool& pool, std::uint16_t queues) {
    const std::vector<rte_mempool*> pools(queues, pool.raw());
    auto port = nic::Port::open({.name = device, .device = device, .workers = queues}, pools);
    if (!port) {
      throw std::runtime_error(port.error().message);
    }
    if (auto started = port->start(); !started) {
      throw std::runtime_error(started.error().message);
    }
    return std::move(*port);
  }

  std::uint16_t send(rte_mbuf** packets, std::uint16_t count) {
    std::uint16_t taken = 0;
    for (; taken < count && room_ > 0; ++taken, --room_) {
      Frame frame{Bytes(packets[taken]->pkt_len)};
      const void* bytes = rte_pktmbuf_read(packets[taken], 0, packets[taken]->pkt_len, frame.bytes.data());
      if (bytes != frame.bytes.data()) {
        std::copy_n(static_cast<const std::uint8_t*>(bytes), frame.bytes.size(), frame.bytes.begin());
      }
      sent_.push_back(std::move(frame));
      rte_pktmbuf_free(packets[taken]);
    }
    sent_in_all_ += taken;
    return taken;
  }

  std::array<Queue, RTE_MAX_QUEUES_PER_PORT> queues_;
  std::array<void*, RTE_MAX_QUEUES_PER_PORT> handles_{};
  std::vector<Frame> sent_;
  std::uint64_t sent_in_all_ = 0;
  std::size_t room_ = SIZE_MAX;
  nic::Port port_;
};

}  // namespace steelyard::test

// A network port under DPDK: finds the device, asks it what it can do, sets it up for the workers and says what came of
// it. Everything here but receive() and send() is for the control thread. A port must never be set up with something
// the driver does not have; what is missing is in the report, so that the worker does it in software.
//
// Queues are in pairs, pair i for worker i. There may be fewer pairs than workers (net_af_packet: always one, because
// with more its fanout defragments, truncates and spills flows); the others then get their packets by hand-off and send
// through the owner of a pair. Read first: DPDK Programmer's Guide, "Poll Mode Driver".
//
// What was seen of net_af_packet (DPDK 22.11), the device of the tests:
// - Frames end at 1,518 bytes: an MTU of 1,500 and no more. Its ring has 512 frames (`framecnt`) of 2,048 bytes
//   (`framesz`), whatever the descriptors. It fills as soon as the device is probed; what it loses is not counted.
// - Sending copies and makes one system call per burst. With a full ring it waits in poll() without a limit; while the
//   interface is down it does not wait, but keeps up to a ring of frames, counts them as errors and sends them later.
// - Each burst that is sent makes the kernel interrupt the CPU of whoever receives, and the other way round: in a
//   virtual machine that costs more than a packet's work (worker/coalescing.h shares it).
// - The link is always up. Multicast is reached by promiscuous mode, which is set on the host's interface and stays
//   there after kill -9. The MTU is set there, too.
// - Stopping closes its sockets: it cannot be started again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rte_ethdev.h>
#include <rte_ether.h>

#include "dataplane/nic/error.h"
#include "dataplane/nic/pools.h"

namespace steelyard::nic {

struct PortSettings {
  std::string name{};                  // the configured one, for messages
  std::string device{};                // "net_af_packet0,iface=lb0" or a PCI address ("0000:03:00.0")
  std::uint16_t mtu = 1500;            // bytes of IP
  std::uint16_t workers = 1;           // queue pairs wanted
  std::vector<std::uint16_t> vlans{};  // that it carries
  std::uint16_t descriptors = 1024;    // per queue, as far as the driver and a quarter of the queue's pool allow
};

// How packets of one connection find the worker that owns it.
enum class Steering : std::uint8_t {
  single_queue,  // one queue pair: its worker reads everything and hands off
  rss,           // the NIC spreads by the hash of addresses and ports; what lands elsewhere is handed off
  unknown,       // several queues that the driver spreads in its own way: handed off
};

// How the port gets frames for multicast groups (IPv6 neighbour discovery lives on them).
enum class Multicast : std::uint8_t { not_needed, address_list, all_multicast, promiscuous, refused };

// Checksums the driver computes (tx) or verifies (rx).
struct ChecksumOffloads {
  bool ipv4 = false;
  bool tcp = false;
  bool udp = false;
};

// What the log tells at start. Plain values.
struct PortReport {
  std::string name{};
  std::string device{};
  std::string driver{};
  std::uint16_t port_id = 0;
  std::uint16_t queue_pairs = 0;
  std::uint16_t rx_descriptors = 0;
  std::uint16_t tx_descriptors = 0;
  std::uint16_t mtu = 0;
  rte_ether_addr mac{};
  int numa_node = -1;  // -1: none or unknown
  ChecksumOffloads rx_checksum;
  ChecksumOffloads tx_checksum;
  bool multi_segment_tx = false;    // false: only packets of one segment may be sent
  bool calls_kernel = false;        // a system call for each burst that is sent: bursts should be large
  std::uint64_t rss_functions = 0;  // RTE_ETH_RSS_*; 0: no RSS
  std::uint16_t rss_table_size = 0;
  std::uint8_t rss_key_bytes = 0;
  Steering steering = Steering::single_queue;
  Multicast multicast = Multicast::not_needed;
  std::vector<std::string> notes{};  // surprises, each a sentence
};

[[nodiscard]] std::string_view to_string(Steering steering);
[[nodiscard]] std::string_view to_string(Multicast multicast);
// "02:00:00:00:00:01"
[[nodiscard]] std::string to_string(const rte_ether_addr& mac);
// One line of key=value words.
[[nodiscard]] std::string to_string(const PortReport& report);

struct LinkStatus {
  bool up = false;
  std::uint32_t mbit = 0;  // 0: unknown
  bool full_duplex = false;
};

// Counted by the driver since the port was opened.
struct PortStatistics {
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t rx_missed = 0;     // no room in the receive queue: workers too slow
  std::uint64_t rx_errors = 0;     // broken frames
  std::uint64_t rx_no_buffer = 0;  // the worker's pool was empty
  std::uint64_t tx_errors = 0;
};

// Is it a PCI address ("0000:03:00.0" or "03:00.0"), not a virtual device's string?
[[nodiscard]] bool is_pci_address(std::string_view device);

// The Ethernet address of an IPv6 multicast group (RFC 2464 section 7).
[[nodiscard]] rte_ether_addr multicast_mac(std::span<const std::uint8_t, 16> group);
// The Ethernet address of the solicited-node group of a unicast address (RFC 4291 section 2.7.1).
[[nodiscard]] rte_ether_addr solicited_node_mac(std::span<const std::uint8_t, 16> address);

// An open port. Owns the device: the destructor stops and closes it. The pools must outlive it.
class Port {
 public:
  // Probes the device, configures it and sets up its queues; queue i fills from pools[i]. `pools` has one per worker.
  [[nodiscard]] static Result<Port> open(const PortSettings& settings, std::span<rte_mempool* const> pools);

  Port(Port&& other) noexcept;
  Port& operator=(Port&&) = delete;
  ~Port();

  // Starts receiving and sending. Once: net_af_packet closes its sockets when it is stopped.
  [[nodiscard]] Result<void> start();
  // No worker may be in receive() or send(). Harmless on a stopped port.
  void stop();

  // Takes frames for exactly these groups besides broadcast and the port's own address: by address list, else all
  // multicast, else promiscuous mode. Returns (and keeps in the report) which. On a started port.
  Multicast set_multicast_groups(std::span<const rte_ether_addr> groups);

  [[nodiscard]] std::uint16_t id() const { return id_; }
  [[nodiscard]] std::uint16_t queue_pairs() const { return report_.queue_pairs; }
  [[nodiscard]] const rte_ether_addr& mac() const { return report_.mac; }
  [[nodiscard]] std::uint16_t mtu() const { return report_.mtu; }
  [[nodiscard]] const PortReport& report() const { return report_; }
  // Never waits. Any thread.
  [[nodiscard]] LinkStatus link() const;
  [[nodiscard]] PortStatistics statistics() const;

  // The worker of queue pair `queue` only. Both return how many packets: received ones belong to the caller, sent ones
  // no longer do.
  [[nodiscard]] std::uint16_t receive(std::uint16_t queue, std::span<rte_mbuf*> packets) const {
    return rte_eth_rx_burst(id_, queue, packets.data(), static_cast<std::uint16_t>(packets.size()));
  }
  [[nodiscard]] std::uint16_t send(std::uint16_t queue, std::span<rte_mbuf*> packets) const {
    return rte_eth_tx_burst(id_, queue, packets.data(), static_cast<std::uint16_t>(packets.size()));
  }

 private:
  explicit Port(std::uint16_t id) : id_(id) {}

  Result<void> set_up(const PortSettings& settings, std::span<rte_mempool* const> pools);
  Result<void> configure(const PortSettings& settings, const rte_eth_dev_info& info);
  Result<void> set_up_queues(const PortSettings& settings, const rte_eth_dev_info& info,
                             std::span<rte_mempool* const> pools);
  Result<void> set_mtu(std::uint16_t mtu);
  void let_vlans_in();
  void clear_multicast_modes();
  void close();

  std::uint16_t id_;
  bool owned_ = true;
  bool started_ = false;
  std::vector<std::uint16_t> vlans_;
  PortReport report_;
};

}  // namespace steelyard::nic

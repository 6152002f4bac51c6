#include "dataplane/nic/port.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_errno.h>

namespace steelyard::nic {
namespace {

constexpr std::uint64_t wanted_rx_offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM;
// MBUF_FAST_FREE is left out for good: a queue sends buffers of several pools (its own, other workers', the kernel's).
constexpr std::uint64_t wanted_tx_offloads = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                                             RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
constexpr std::uint64_t wanted_rss = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

// DPDK's functions return -errno, some -1 with rte_errno.
std::string words_for(int result) {
  return rte_strerror(result == -1 ? rte_errno : std::abs(result));
}

template <class... Values>
tl::unexpected<Error> port_failure(const PortSettings& settings, fmt::format_string<Values...> text,
                                   Values&&... values) {
  return failure(fmt::format("port {} ({}): {}", settings.name, settings.device,
                             fmt::format(text, std::forward<Values>(values)...)));
}

// The name that ethdev gives the device: a virtual device's string up to its arguments, a full PCI address.
std::string ethdev_name(const std::string& device) {
  if (is_pci_address(device)) {
    return device.size() == std::size_t{7} ? "0000:" + device : device;
  }
  return device.substr(0, device.find(','));
}

Result<void> check_device(const PortSettings& settings) {
  if (is_pci_address(settings.device)) {
    return {};
  }
  if (!settings.device.starts_with("net_") && !settings.device.starts_with("virtio_user")) {
    return port_failure(
        settings, "neither a PCI address (0000:03:00.0) nor a virtual device of DPDK (net_af_packet0,iface=eth1)");
  }
  if (settings.device.starts_with("net_af_packet")) {
    const std::size_t pairs = settings.device.find(",qpairs=");
    if (pairs != std::string::npos && std::atoi(settings.device.c_str() + pairs + 8) != 1) {
      return port_failure(settings,
                          "net_af_packet works with one queue pair only (its fanout defragments, truncates and spills "
                          "flows): leave `qpairs` out; the other workers get their packets by hand-off");
    }
  }
  return {};
}

std::string_view probe_advice(const PortSettings& settings) {
  if (is_pci_address(settings.device)) {
    return "is the device bound to vfio-pci (dpdk-devbind.py --status), and was it there when the program started?";
  }
  if (settings.device.starts_with("net_af_packet")) {
    return "does the interface exist in this network namespace, is it up, and has the process CAP_NET_RAW?";
  }
  return "does DPDK have this driver, and are its arguments right?";
}

// The ethdev port of the device, probed now unless the EAL has done so at start.
Result<std::uint16_t> probe(const PortSettings& settings) {
  const std::string name = ethdev_name(settings.device);
  std::uint16_t id = 0;
  const bool known = rte_eth_dev_get_port_by_name(name.c_str(), &id) == 0;
  if (known && !is_pci_address(settings.device)) {
    return port_failure(settings, "{} is used by another port already: each virtual device needs a name of its own",
                        name);
  }
  if (known) {
    return id;
  }
  if (const int result = rte_dev_probe(settings.device.c_str()); result < 0) {
    return port_failure(settings, "DPDK cannot take the device ({}): {}", words_for(result), probe_advice(settings));
  }
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) == 0) {
    return id;
  }
  // Drivers that name their ports in their own way.
  rte_dev_iterator iterator;
  RTE_ETH_FOREACH_MATCHING_DEV(id, settings.device.c_str(), &iterator) {
    rte_eth_iterator_cleanup(&iterator);
    return id;
  }
  return port_failure(settings, "the device was found, but it is no network port");
}

// The largest MTU, by the same arithmetic as ethdev's own.
std::uint16_t largest_mtu(const rte_eth_dev_info& info) {
  const std::uint32_t overhead = info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu
                                     ? info.max_rx_pktlen - info.max_mtu
                                     : RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  const std::uint32_t by_length = info.max_rx_pktlen > overhead ? info.max_rx_pktlen - overhead : info.max_mtu;
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(info.max_mtu, by_length));
}

ChecksumOffloads rx_checksums(std::uint64_t offloads) {
  return {.ipv4 = (offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0,
          .tcp = (offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) != 0,
          .udp = (offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0};
}

ChecksumOffloads tx_checksums(std::uint64_t offloads) {
  return {.ipv4 = (offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0,
          .tcp = (offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0,
          .udp = (offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0};
}

}  // namespace

Result<Port> Port::open(const PortSettings& settings, std::span<rte_mempool* const> pools) {
  if (settings.workers == 0 || pools.size() != settings.workers) {
    return port_failure(settings, "{} pools for {} workers", pools.size(), settings.workers);
  }
  if (Result<void> checked = check_device(settings); !checked) {
    return tl::unexpected(checked.error());
  }
  const Result<std::uint16_t> id = probe(settings);
  if (!id) {
    return tl::unexpected(id.error());
  }
  Port port(*id);
  if (Result<void> done = port.set_up(settings, pools); !done) {
    return tl::unexpected(done.error());
  }
  return port;
}

Result<void> Port::set_up(const PortSettings& settings, std::span<rte_mempool* const> pools) {
  rte_eth_dev_info info{};
  if (const int result = rte_eth_dev_info_get(id_, &info); result != 0) {
    return port_failure(settings, "the driver does not say what it can do: {}", words_for(result));
  }
  report_.name = settings.name;
  report_.device = settings.device;
  report_.driver = info.driver_name == nullptr ? "unknown" : info.driver_name;
  report_.calls_kernel = report_.driver == "net_af_packet" || report_.driver == "net_tap";
  report_.port_id = id_;
  report_.numa_node = rte_eth_dev_socket_id(id_);
  return configure(settings, info)
      .and_then([&] { return set_mtu(settings.mtu); })
      .and_then([&] { return set_up_queues(settings, info, pools); })
      .and_then([&]() -> Result<void> {
        if (const int result = rte_eth_macaddr_get(id_, &report_.mac); result != 0) {
          return port_failure(settings, "the driver does not tell its MAC address: {}", words_for(result));
        }
        return {};
      });
}

Result<void> Port::configure(const PortSettings& settings, const rte_eth_dev_info& info) {
  if (settings.mtu < info.min_mtu || settings.mtu > largest_mtu(info)) {
    return port_failure(settings, "MTU {} is outside of what the driver {} allows ({}..{})", settings.mtu,
                        report_.driver, info.min_mtu, largest_mtu(info));
  }
  report_.queue_pairs = std::min({settings.workers, info.max_rx_queues, info.max_tx_queues});
  if (report_.queue_pairs == 0) {
    return port_failure(settings, "the driver {} has no queues", report_.driver);
  }
  if (report_.queue_pairs < settings.workers) {
    report_.notes.push_back(fmt::format("{} queue pairs for {} workers: the other workers get packets by hand-off",
                                        report_.queue_pairs, settings.workers));
  }

  rte_eth_conf configuration{};
  configuration.rxmode.mtu = settings.mtu;
  configuration.rxmode.offloads = wanted_rx_offloads & info.rx_offload_capa;
  configuration.txmode.offloads = wanted_tx_offloads & info.tx_offload_capa;
  // A driver that filters VLANs lets none in by itself (virtio); one that does not lets in all.
  if (!settings.vlans.empty() && (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_FILTER) != 0) {
    configuration.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    vlans_ = settings.vlans;
  }
  // The link is asked for: with interrupts the driver would tell what the last one said.
  configuration.intr_conf.lsc = 0;
  const std::uint64_t rss = report_.queue_pairs > 1 ? wanted_rss & info.flow_type_rss_offloads : 0;
  if (rss != 0) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf.rss_hf = rss;  // with the driver's own key
  }
  const int result = rte_eth_dev_configure(id_, report_.queue_pairs, report_.queue_pairs, &configuration);
  if (result != 0) {
    return port_failure(settings, "the driver {} refuses its configuration: {}", report_.driver, words_for(result));
  }
  report_.rx_checksum = rx_checksums(configuration.rxmode.offloads);
  report_.tx_checksum = tx_checksums(configuration.txmode.offloads);
  report_.multi_segment_tx = (configuration.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  report_.rss_functions = rss;
  report_.rss_table_size = info.reta_size;
  report_.rss_key_bytes = info.hash_key_size;
  report_.steering = report_.queue_pairs == 1 ? Steering::single_queue : rss != 0 ? Steering::rss : Steering::unknown;
  return {};
}

Result<void> Port::set_mtu(std::uint16_t mtu) {
  report_.mtu = mtu;
  // configure() has set it for most drivers; some take it only here, some not at all.
  const int result = rte_eth_dev_set_mtu(id_, mtu);
  if (result == -ENOTSUP) {
    report_.notes.emplace_back("the driver has no MTU to set");
    return {};
  }
  if (result != 0) {
    return failure(
        fmt::format("port {} ({}): MTU {} is refused: {}", report_.name, report_.device, mtu, words_for(result)));
  }
  return {};
}

Result<void> Port::set_up_queues(const PortSettings& settings, const rte_eth_dev_info& info,
                                 std::span<rte_mempool* const> pools) {
  const auto used = pools.first(report_.queue_pairs);
  const rte_mempool* smallest = *std::ranges::min_element(used, {}, [](const rte_mempool* pool) { return pool->size; });
  report_.rx_descriptors =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(settings.descriptors, smallest->size / 4));
  report_.tx_descriptors = report_.rx_descriptors;
  if (const int result = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &report_.rx_descriptors, &report_.tx_descriptors);
      result != 0) {
    return port_failure(settings, "no usable number of descriptors: {}", words_for(result));
  }
  rte_eth_rxconf receive = info.default_rxconf;
  receive.offloads = wanted_rx_offloads & info.rx_offload_capa;
  // A worker that is too slow must lose its own packets, not fill the FIFO that all queues share.
  receive.rx_drop_en = report_.queue_pairs > 1 ? 1 : receive.rx_drop_en;
  rte_eth_txconf transmit = info.default_txconf;
  transmit.offloads = wanted_tx_offloads & info.tx_offload_capa;
  const auto node = static_cast<unsigned>(report_.numa_node);

  for (std::uint16_t queue = 0; queue < report_.queue_pairs; ++queue) {
    const std::uint32_t room = rte_pktmbuf_data_room_size(used[queue]) - RTE_PKTMBUF_HEADROOM;
    if (room < frame_room(settings.mtu)) {
      return port_failure(settings, "buffers of {} bytes are too small for an MTU of {}", room, settings.mtu);
    }
    int result = rte_eth_rx_queue_setup(id_, queue, report_.rx_descriptors, node, &receive, used[queue]);
    if (result != 0) {
      return port_failure(settings, "receive queue {} with {} descriptors is refused: {}", queue,
                          report_.rx_descriptors, words_for(result));
    }
    result = rte_eth_tx_queue_setup(id_, queue, report_.tx_descriptors, node, &transmit);
    if (result != 0) {
      return port_failure(settings, "transmit queue {} with {} descriptors is refused: {}", queue,
                          report_.tx_descriptors, words_for(result));
    }
  }
  return {};
}

Port::Port(Port&& other) noexcept
    : id_(other.id_),
      owned_(std::exchange(other.owned_, false)),
      started_(std::exchange(other.started_, false)),
      vlans_(std::move(other.vlans_)),
      report_(std::move(other.report_)) {}

Port::~Port() {
  close();
}

Result<void> Port::start() {
  if (const int result = rte_eth_dev_start(id_); result != 0) {
    return failure(fmt::format("port {} ({}) does not start: {}", report_.name, report_.device, words_for(result)));
  }
  started_ = true;
  let_vlans_in();
  rte_eth_stats_reset(id_);
  return {};
}

void Port::let_vlans_in() {
  if (vlans_.empty()) {
    return;
  }
  std::vector<std::uint16_t> ids = vlans_;
  ids.push_back(0);  // no VLAN, but a priority
  for (const std::uint16_t id : ids) {
    if (const int result = rte_eth_dev_vlan_filter(id_, id, 1); result != 0) {
      report_.notes.push_back(fmt::format("VLAN {} may not come in: {}", id, words_for(result)));
    }
  }
}

void Port::stop() {
  if (std::exchange(started_, false)) {
    clear_multicast_modes();  // net_af_packet would leave the host's interface promiscuous
    rte_eth_dev_stop(id_);
  }
}

void Port::close() {
  if (!std::exchange(owned_, false)) {
    return;
  }
  stop();
  rte_eth_dev_info info{};
  const bool known = rte_eth_dev_info_get(id_, &info) == 0;
  rte_eth_dev_close(id_);
  // A PCI device may have further ports, so it stays with DPDK until the process ends.
  if (known && !is_pci_address(report_.device)) {
    rte_dev_remove(info.device);
  }
}

void Port::clear_multicast_modes() {
  if (report_.multicast == Multicast::all_multicast) {
    rte_eth_allmulticast_disable(id_);
  } else if (report_.multicast == Multicast::promiscuous) {
    rte_eth_promiscuous_disable(id_);
  }
}

Multicast Port::set_multicast_groups(std::span<const rte_ether_addr> groups) {
  std::vector<rte_ether_addr> list(groups.begin(), groups.end());
  const bool listed = rte_eth_dev_set_mc_addr_list(id_, list.data(), static_cast<std::uint32_t>(list.size())) == 0;
  Multicast mode = Multicast::refused;
  if (list.empty()) {
    mode = Multicast::not_needed;
  } else if (listed) {
    mode = Multicast::address_list;
  } else if (rte_eth_allmulticast_enable(id_) == 0) {
    mode = Multicast::all_multicast;
  } else if (rte_eth_promiscuous_enable(id_) == 0) {
    mode = Multicast::promiscuous;
  }
  if (mode != report_.multicast) {
    clear_multicast_modes();
  }
  report_.multicast = mode;
  return mode;
}

LinkStatus Port::link() const {
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(id_, &link) != 0) {
    return {};
  }
  return {.up = link.link_status == RTE_ETH_LINK_UP,
          .mbit = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed,
          .full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX};
}

PortStatistics Port::statistics() const {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) {
    return {};
  }
  return {.rx_packets = stats.ipackets,
          .rx_bytes = stats.ibytes,
          .tx_packets = stats.opackets,
          .tx_bytes = stats.obytes,
          .rx_missed = stats.imissed,
          .rx_errors = stats.ierrors,
          .rx_no_buffer = stats.rx_nombuf,
          .tx_errors = stats.oerrors};
}

}  // namespace steelyard::nic

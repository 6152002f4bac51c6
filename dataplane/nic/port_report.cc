// What a port's values look like in words, and the addresses that follow from RFCs alone.
#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "dataplane/nic/port.h"

namespace steelyard::nic {
namespace {

std::string to_string(const ChecksumOffloads& offloads) {
  std::string words;
  for (const auto& [has, word] :
       {std::pair(offloads.ipv4, "ipv4"), std::pair(offloads.tcp, "tcp"), std::pair(offloads.udp, "udp")}) {
    if (has) {
      words += words.empty() ? word : fmt::format("+{}", word);
    }
  }
  return words.empty() ? "software" : words;
}

// Which headers the hash covers; the driver's functions are too many to name.
std::string rss_words(std::uint64_t functions) {
  std::string words;
  for (const auto& [mask, word] :
       {std::pair(std::uint64_t{RTE_ETH_RSS_IP}, "ip"), std::pair(std::uint64_t{RTE_ETH_RSS_TCP}, "tcp"),
        std::pair(std::uint64_t{RTE_ETH_RSS_UDP}, "udp")}) {
    if ((functions & mask) != 0) {
      words += words.empty() ? word : fmt::format("+{}", word);
    }
  }
  return words.empty() ? "off" : words;
}

}  // namespace

std::string_view to_string(Steering steering) {
  constexpr std::array<std::string_view, 3> names{"single-queue", "rss", "unknown"};
  return names[static_cast<std::size_t>(steering)];
}

std::string_view to_string(Multicast multicast) {
  constexpr std::array<std::string_view, 5> names{"not-needed", "address-list", "all-multicast", "promiscuous",
                                                  "refused"};
  return names[static_cast<std::size_t>(multicast)];
}

std::string to_string(const rte_ether_addr& mac) {
  return fmt::format("{:02x}", fmt::join(mac.addr_bytes, ":"));
}

std::string to_string(const PortReport& report) {
  return fmt::format(
      "port={} device={} driver={} queue_pairs={} rx_descriptors={} tx_descriptors={} mac={} mtu={} numa={} "
      "rx_checksum={} tx_checksum={} multi_segment_tx={} rss={} rss_table={} rss_key={} steering={} "
      "multicast={}",
      report.name, report.device, report.driver, report.queue_pairs, report.rx_descriptors, report.tx_descriptors,
      to_string(report.mac), report.mtu, report.numa_node < 0 ? "any" : fmt::format("{}", report.numa_node),
      to_string(report.rx_checksum), to_string(report.tx_checksum), report.multi_segment_tx,
      rss_words(report.rss_functions), report.rss_table_size, report.rss_key_bytes, to_string(report.steering),
      to_string(report.multicast));
}

bool is_pci_address(std::string_view device) {
  // [dddd:]bb:dd.f in hexadecimal digits
  if (device.size() == 12 && device[4] == ':') {
    if (!std::ranges::all_of(device.substr(0, 4), [](unsigned char c) { return std::isxdigit(c) != 0; })) {
      return false;
    }
    device.remove_prefix(5);
  }
  constexpr std::string_view form = "xx:xx.x";
  return device.size() == form.size() && std::ranges::equal(device, form, [](char c, char expected) {
           return expected == 'x' ? std::isxdigit(static_cast<unsigned char>(c)) != 0 : c == expected;
         });
}

rte_ether_addr multicast_mac(std::span<const std::uint8_t, 16> group) {
  return {{0x33, 0x33, group[12], group[13], group[14], group[15]}};
}

rte_ether_addr solicited_node_mac(std::span<const std::uint8_t, 16> address) {
  // The group is ff02::1:ffXX:XXXX with the address's last 24 bits.
  return {{0x33, 0x33, 0xff, address[13], address[14], address[15]}};
}

}  // namespace steelyard::nic

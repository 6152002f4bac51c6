#include "dataplane/neighbor/messages.h"

#include <algorithm>

#include "dataplane/packet/build.h"
#include "dataplane/packet/checksum.h"

namespace steelyard::neighbor {
namespace {

constexpr std::size_t arp_size = 28;
constexpr std::uint8_t type_solicitation = 135;
constexpr std::uint8_t type_advertisement = 136;
constexpr std::uint8_t option_source_link = 1;
constexpr std::uint8_t option_target_link = 2;
constexpr std::size_t ndp_fixed = 24;  // type, code, checksum, flags, target
constexpr std::size_t ndp_option = 8;  // a link-layer address option for Ethernet
constexpr std::uint32_t flag_solicited = 0x40000000;
constexpr std::uint32_t flag_override = 0x20000000;

std::uint16_t be16(std::uint16_t value) {
  return __builtin_bswap16(value);
}

IpKey key_from_bytes(const std::uint8_t* v4) {
  packet::Ipv4Address address;
  address.raw = packet::load<std::uint32_t>(v4);
  return to_key(address);
}

MacAddress mac_from(const std::uint8_t* bytes) {
  MacAddress mac{};
  std::copy_n(bytes, mac.size(), mac.begin());
  return mac;
}

// Can it be the address of one host? Groups and all zeros cannot.
bool is_station(const MacAddress& mac) {
  return (mac[0] & 1) == 0 && mac != MacAddress{};
}

void write_ethernet(std::span<std::uint8_t> room, const MacAddress& to, const MacAddress& from, std::uint16_t type) {
  std::ranges::copy(to, room.begin());
  std::ranges::copy(from, room.begin() + 6);
  packet::store(room.data() + 12, be16(type));
}

std::size_t write_arp(std::span<std::uint8_t> room, std::uint16_t operation, const MacAddress& ethernet_to,
                      const MacAddress& sender_mac, const IpKey& sender, const MacAddress& target_mac,
                      const IpKey& target) {
  write_ethernet(room, ethernet_to, sender_mac, packet::ether_type_arp);
  std::uint8_t* arp = room.data() + packet::ethernet_header_size;
  packet::store(arp, be16(1));           // Ethernet
  packet::store(arp + 2, be16(0x0800));  // IPv4
  arp[4] = 6;
  arp[5] = 4;
  packet::store(arp + 6, be16(operation));
  std::ranges::copy(sender_mac, arp + 8);
  packet::store(arp + 14, to_v4(sender).raw);
  std::ranges::copy(target_mac, arp + 18);
  packet::store(arp + 24, to_v4(target).raw);
  return packet::ethernet_header_size + arp_size;
}

std::size_t write_ndp(std::span<std::uint8_t> room, std::uint8_t type, std::uint32_t flags, const MacAddress& to_mac,
                      const MacAddress& own_mac, const IpKey& source, const IpKey& destination, const IpKey& target,
                      bool with_link_option) {
  write_ethernet(room, to_mac, own_mac, packet::Ipv6::ether_type);
  const std::size_t size = ndp_fixed + (with_link_option ? ndp_option : 0);
  std::uint8_t* l3 = room.data() + packet::ethernet_header_size;
  packet::write_ip_header<packet::Ipv6>(l3, source, destination, packet::protocol_icmpv6, size, 255);
  std::uint8_t* icmp = l3 + packet::Ipv6::header_size;
  std::fill_n(icmp, size, std::uint8_t{0});
  icmp[0] = type;
  packet::store(icmp + 4, __builtin_bswap32(flags));
  packet::store(icmp + 8, target);
  if (with_link_option) {
    icmp[ndp_fixed] = type == type_solicitation ? option_source_link : option_target_link;
    icmp[ndp_fixed + 1] = 1;
    std::ranges::copy(own_mac, icmp + ndp_fixed + 2);
  }
  packet::store(icmp + 2,
                packet::l4_checksum<packet::Ipv6>(source, destination, packet::protocol_icmpv6, {icmp, size}));
  return packet::ethernet_header_size + packet::Ipv6::header_size + size;
}

IpKey solicited_node_group(const IpKey& address) {
  std::array<std::uint8_t, 16> group{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff, 0, 0, 0};
  std::ranges::copy(address.bytes().last<3>(), group.begin() + 13);
  return packet::load<IpKey>(group.data());
}

IpKey all_nodes() {
  constexpr std::array<std::uint8_t, 16> group{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return packet::load<IpKey>(group.data());
}

}  // namespace

IpKey to_key(const packet::Ipv4Address& address) {
  std::array<std::uint8_t, 16> bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  packet::store(bytes.data() + 12, address.raw);
  return packet::load<IpKey>(bytes.data());
}

packet::Ipv4Address to_v4(const IpKey& key) {
  return {packet::load<std::uint32_t>(key.bytes().data() + 12)};
}

bool is_v4(const IpKey& key) {
  return key.raw[0] == 0 && static_cast<std::uint32_t>(key.raw[1]) == __builtin_bswap32(0x0000ffffU);
}

std::optional<NeighborMessage> parse_arp(std::span<const std::uint8_t> arp) {
  if (arp.size() < arp_size || packet::load<std::uint16_t>(arp.data()) != be16(1) ||
      packet::load<std::uint16_t>(arp.data() + 2) != be16(0x0800) || arp[4] != 6 || arp[5] != 4) {
    return std::nullopt;
  }
  const std::uint16_t operation = be16(packet::load<std::uint16_t>(arp.data() + 6));
  NeighborMessage message;
  if (operation != 1 && operation != 2) {
    return std::nullopt;
  }
  message.kind = operation == 1 ? NeighborMessage::Kind::request : NeighborMessage::Kind::answer;
  message.sender_mac = mac_from(arp.data() + 8);
  message.has_sender_mac = true;
  message.sender = key_from_bytes(arp.data() + 14);
  message.target = key_from_bytes(arp.data() + 24);
  if (!is_station(message.sender_mac)) {
    return std::nullopt;
  }
  return message;
}

bool is_neighbor_discovery(const packet::PacketView& view) {
  return view.is_v6 && view.kind == packet::PacketKind::icmp &&
         (view.l4[0] == type_solicitation || view.l4[0] == type_advertisement);
}

std::optional<NeighborMessage> parse_ndp(const packet::PacketView& view, std::size_t available) {
  const std::span<const std::uint8_t> icmp{view.l4, view.l4_length};
  const auto source = view.source<packet::Ipv6>();
  const auto destination = view.destination<packet::Ipv6>();
  if (view.l3_length > available || icmp.size() < ndp_fixed || view.l3[packet::Ipv6::ttl_offset] != 255 ||
      icmp[1] != 0 || packet::l4_checksum<packet::Ipv6>(source, destination, packet::protocol_icmpv6, icmp) != 0) {
    return std::nullopt;
  }
  NeighborMessage message;
  message.target = packet::load<IpKey>(icmp.data() + 8);
  if (message.target.bytes()[0] == 0xff) {
    return std::nullopt;
  }
  const bool solicitation = icmp[0] == type_solicitation;
  message.kind = solicitation ? NeighborMessage::Kind::request : NeighborMessage::Kind::answer;
  message.sender = solicitation ? source : message.target;
  const std::uint32_t flags = __builtin_bswap32(packet::load<std::uint32_t>(icmp.data() + 4));
  message.overrides = solicitation || (flags & flag_override) != 0;
  message.solicited = !solicitation && (flags & flag_solicited) != 0;
  if (message.solicited && destination.bytes()[0] == 0xff) {
    return std::nullopt;  // RFC 4861 section 7.1.2
  }
  bool names_link = false;
  auto options = icmp.subspan(ndp_fixed);
  while (!options.empty()) {
    if (options.size() < 8 || options[1] == 0 || std::size_t{options[1]} * 8 > options.size()) {
      return std::nullopt;
    }
    if (options[0] == (solicitation ? option_source_link : option_target_link)) {
      names_link = true;
      if (options[1] == 1) {
        message.sender_mac = mac_from(options.data() + 2);
        message.has_sender_mac = is_station(message.sender_mac);
      }
    }
    options = options.subspan(std::size_t{options[1]} * 8);
  }
  const bool probe = solicitation && source == IpKey{};
  if (probe && (names_link || destination != solicited_node_group(message.target))) {
    return std::nullopt;  // RFC 4861 section 7.1.1
  }
  return message;
}

std::size_t build_request(std::span<std::uint8_t> room, const MacAddress& source_mac, const IpKey& source,
                          const IpKey& target, const MacAddress* unicast_to) {
  if (is_v4(target)) {
    return write_arp(room, 1, unicast_to != nullptr ? *unicast_to : broadcast_mac, source_mac, source, MacAddress{},
                     target);
  }
  // From the unspecified address it may only go to the group, without our link-layer address (RFC 4861 section 7.1.1).
  const bool anonymous = source == IpKey{};
  if (unicast_to != nullptr && !anonymous) {
    return write_ndp(room, type_solicitation, 0, *unicast_to, source_mac, source, target, target, true);
  }
  return write_ndp(room, type_solicitation, 0, solicited_node_mac(target), source_mac, source,
                   solicited_node_group(target), target, !anonymous);
}

std::size_t build_answer(std::span<std::uint8_t> room, const MacAddress& owner_mac, const IpKey& owner,
                         const NeighborMessage* request) {
  const bool v4 = is_v4(owner);
  if (request == nullptr) {
    if (v4) {
      return write_arp(room, 1, broadcast_mac, owner_mac, owner, MacAddress{}, owner);
    }
    constexpr MacAddress all_nodes_mac{0x33, 0x33, 0, 0, 0, 1};
    return write_ndp(room, type_advertisement, flag_override, all_nodes_mac, owner_mac, owner, all_nodes(), owner,
                     true);
  }
  if (v4) {
    return write_arp(room, 2, request->sender_mac, owner_mac, owner, request->sender_mac, request->sender);
  }
  // A probe from the unspecified address is answered to all nodes, unsolicited (RFC 4861 section 7.2.4).
  if (request->sender == IpKey{} || !request->has_sender_mac) {
    return build_answer(room, owner_mac, owner, nullptr);
  }
  return write_ndp(room, type_advertisement, flag_solicited | flag_override, request->sender_mac, owner_mac, owner,
                   request->sender, owner, true);
}

MacAddress solicited_node_mac(const IpKey& address) {
  const auto bytes = address.bytes();
  return {0x33, 0x33, 0xff, bytes[13], bytes[14], bytes[15]};
}

}  // namespace steelyard::neighbor

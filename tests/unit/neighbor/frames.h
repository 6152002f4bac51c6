// ARP and neighbour discovery frames written field by field from RFC 826 and RFC 4861, every field free to be wrong:
// what the code under test builds is never what verifies it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dataplane/neighbor/messages.h"
#include "tests/unit/packet_builder.h"

namespace steelyard::test {

using neighbor::IpKey;
using neighbor::MacAddress;

// Locally administered, one a host.
[[nodiscard]] constexpr MacAddress mac(std::uint8_t host) {
  return {0x02, 0x00, 0x5e, 0x10, 0x00, host};
}
inline constexpr MacAddress all_stations{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

// An address of either family as neighbours' tables know it.
[[nodiscard]] inline IpKey key(const std::string& text) {
  if (text.find(':') != std::string::npos) {
    return address<packet::Ipv6>(text);
  }
  Bytes mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  append(mapped, address<packet::Ipv4>(text).bytes());
  return packet::load<IpKey>(mapped.data());
}

inline void set_macs(Frame& frame, const MacAddress& to, const MacAddress& from) {
  std::ranges::copy(to, frame.bytes.begin());
  std::ranges::copy(from, frame.bytes.begin() + 6);
}
[[nodiscard]] inline MacAddress mac_at(std::span<const std::uint8_t> bytes, std::size_t at) {
  MacAddress result{};
  std::ranges::copy(bytes.subspan(at, result.size()), result.begin());
  return result;
}
[[nodiscard]] inline MacAddress to_mac(const Frame& frame) {
  return mac_at(frame.bytes, 0);
}
[[nodiscard]] inline MacAddress from_mac(const Frame& frame) {
  return mac_at(frame.bytes, 6);
}

struct Arp {
  std::uint16_t operation = 1;
  MacAddress sender_mac = mac(1);
  std::string sender = "192.0.2.1";
  MacAddress target_mac{};
  std::string target = "192.0.2.10";
  MacAddress to = all_stations;
  std::uint16_t hardware = 1;
  std::uint16_t protocol = 0x0800;
  std::uint8_t hardware_size = 6;
  std::uint8_t protocol_size = 4;
};

// RFC 826, "Packet format", padded to Ethernet's minimum as it comes from a wire.
[[nodiscard]] inline Frame arp(const Arp& fields) {
  Frame frame{Bytes(14)};
  set_macs(frame, fields.to, fields.sender_mac);
  put16(frame.bytes, 12, 0x0806);
  Bytes message(8);
  put16(message, 0, fields.hardware);
  put16(message, 2, fields.protocol);
  message[4] = fields.hardware_size;
  message[5] = fields.protocol_size;
  put16(message, 6, fields.operation);
  append(message, fields.sender_mac);
  append(message, address<packet::Ipv4>(fields.sender).bytes());
  append(message, fields.target_mac);
  append(message, address<packet::Ipv4>(fields.target).bytes());
  append(frame.bytes, message);
  frame.bytes.resize(60);
  return frame;
}

inline constexpr std::uint8_t solicitation = 135;
inline constexpr std::uint8_t advertisement = 136;
inline constexpr std::uint8_t router_flag = 0x80;
inline constexpr std::uint8_t solicited_flag = 0x40;
inline constexpr std::uint8_t override_flag = 0x20;

// A link-layer address option (RFC 4861 section 4.6.1): type 1 for the source, 2 for the target.
[[nodiscard]] inline Bytes link_option(std::uint8_t type, const MacAddress& address) {
  Bytes option{type, 1};
  append(option, address);
  return option;
}

struct Ndp {
  std::uint8_t type = solicitation;
  std::string source = "2001:db8:1::1";
  std::string destination = "ff02::1:ff00:10";
  std::string target = "2001:db8:1::10";
  std::uint8_t flags = 0;
  Bytes options = link_option(1, mac(1));
  std::uint8_t hop_limit = 255;
  std::uint8_t code = 0;
  MacAddress to{0x33, 0x33, 0xff, 0, 0, 0x10};
  MacAddress from = mac(1);
};

// RFC 4861 sections 4.3 and 4.4.
[[nodiscard]] inline Frame ndp(const Ndp& fields) {
  Bytes message(8);
  message[0] = fields.type;
  message[1] = fields.code;
  message[4] = fields.flags;
  append(message, address<packet::Ipv6>(fields.target).bytes());
  append(message, fields.options);
  Frame frame = ip<packet::Ipv6>(address<packet::Ipv6>(fields.source), address<packet::Ipv6>(fields.destination),
                                 packet::protocol_icmpv6, message, {.ttl = fields.hop_limit});
  set_macs(frame, fields.to, fields.from);
  frame.fix_checksums();
  return frame;
}

// The answer of `host` to somebody who asked for it by multicast.
[[nodiscard]] inline Ndp advertised(const std::string& host, const MacAddress& host_mac, const std::string& asker) {
  return {.type = advertisement,
          .source = host,
          .destination = asker,
          .target = host,
          .flags = solicited_flag | override_flag,
          .options = link_option(2, host_mac),
          .from = host_mac};
}

}  // namespace steelyard::test

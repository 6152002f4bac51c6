// ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861) messages: parsing and building. Pure; addresses of both
// families are 16 bytes, IPv4 in its mapped form.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/packet/family.h"
#include "dataplane/packet/view.h"

namespace steelyard::neighbor {

using MacAddress = std::array<std::uint8_t, 6>;
// The address form of this room: sixteen bytes, IPv4 as ::ffff:a.b.c.d.
using IpKey = packet::Ipv6Address;

[[nodiscard]] IpKey to_key(const packet::Ipv4Address& address);
[[nodiscard]] packet::Ipv4Address to_v4(const IpKey& key);
[[nodiscard]] bool is_v4(const IpKey& key);

inline constexpr MacAddress broadcast_mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

// What an ARP or ND message says, reduced to what matters here.
struct NeighborMessage {
  enum class Kind : std::uint8_t { request, answer };
  Kind kind = Kind::request;
  IpKey sender;  // unspecified in a probe (RFC 5227, RFC 4862)
  IpKey target;
  MacAddress sender_mac{};
  bool has_sender_mac = false;
  // ND only: the override flag of an advertisement (RFC 4861 section 7.2.5); true for ARP.
  bool overrides = true;
  // ND only: an advertisement that answers a question (section 4.4). It may leave its link-layer address out when the
  // question came by unicast, and still says that the target is there.
  bool solicited = false;
};

// Reads an ARP message for Ethernet and IPv4; nothing when it is malformed. `arp` starts after the Ethernet header.
[[nodiscard]] std::optional<NeighborMessage> parse_arp(std::span<const std::uint8_t> arp);

// Is this ICMPv6 packet a neighbour solicitation or advertisement (by its type alone)?
[[nodiscard]] bool is_neighbor_discovery(const packet::PacketView& view);

// Reads a solicitation or advertisement; nothing when any check of RFC 4861 section 7.1 fails (hop limit 255,
// checksum, lengths). `available`: contiguous bytes from the IP header on.
[[nodiscard]] std::optional<NeighborMessage> parse_ndp(const packet::PacketView& view, std::size_t available);

// A whole frame that asks for `target`: ARP by broadcast or NS to the solicited-node group; to `unicast_to` when given
// (re-confirmation). Returns its length; `room` holds at least 96 bytes.
std::size_t build_request(std::span<std::uint8_t> room, const MacAddress& source_mac, const IpKey& source,
                          const IpKey& target, const MacAddress* unicast_to);

// A whole frame that says: `owner` has `owner_mac`. Answers `request` when given, else announces to everybody
// (gratuitous ARP as a request, RFC 5227 section 3; unsolicited NA to all nodes, RFC 4861 section 7.2.6).
std::size_t build_answer(std::span<std::uint8_t> room, const MacAddress& owner_mac, const IpKey& owner,
                         const NeighborMessage* request);

// The Ethernet multicast address of an IPv6 address's solicited-node group (RFC 4291 section 2.7.1, RFC 2464 section
// 7).
[[nodiscard]] MacAddress solicited_node_mac(const IpKey& address);

inline constexpr std::size_t largest_message = 96;

}  // namespace steelyard::neighbor

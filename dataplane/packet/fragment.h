// A fragment of an IP packet: where its data stand in the datagram (RFC 791 section 3.2, RFC 8200 section 4.5), and
// which datagram that is. Fragments are translated one by one and never put together here; the first one has the ports.
// Reads and writes headers only. Never reads beyond what parse() has seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/view.h"

namespace steelyard::packet {

// What an IP packet's length field can say; a datagram that is longer was made to overflow somebody (RFC 791 section
// 3.1).
inline constexpr std::size_t largest_datagram = 65'535;

struct Fragment {
  std::uint32_t offset = 0;  // bytes, a multiple of eight
  std::uint32_t length = 0;  // bytes, above 0
  bool more = false;         // another one follows in the datagram

  [[nodiscard]] bool first() const { return offset == 0; }
  [[nodiscard]] std::uint32_t end() const { return offset + length; }
};

// Of a view of kind fragment; all of its bytes may lie in later segments. Nothing: it is malformed.
template <class Family>
[[nodiscard]] std::optional<Fragment> fragment_of(const PacketView& view);

// The datagram that a fragment belongs to, in the form of a tuple, so that it hashes and compares like one: its
// identification stands where ports do. IPv4 tells datagrams apart by the protocol, too; IPv6 does not.
template <class Family>
[[nodiscard]] Tuple<Family> datagram_of(const PacketView& view);

// Turns the view of a first fragment into one of kind l4, as if it were a whole packet: every header of layer 4 is
// there. Else of kind dropped (RFC 1858, RFC 3128, RFC 7112: what does not show its ports and flags is no use), or of
// kind other_ip when it is neither TCP nor UDP.
void turn_into_first(PacketView& view);

// Writes the identification, in network order (IPv4: the lower-addressed half), and adds the change of the IPv4 header
// to `header`.
template <class Family>
void write_identification(const PacketView& fragment, std::uint32_t id, ChecksumDelta& header);

}  // namespace steelyard::packet

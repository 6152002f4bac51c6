// Turning a client's packet into one for the server and back: addresses, ports, sequence numbers, hop limit, and every
// checksum that covers them, incrementally (RFC 1624). Written once for all modes and both families: `nat` is the case
// in which the local side equals the client's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/l4/flow.h"
#include "dataplane/l4/tcp_options.h"
#include "dataplane/l4/tcp_tracker.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/view.h"

namespace steelyard::l4 {

// Adds `delta` to the 32-bit number at `at`, which may stand at an odd offset of the segment.
inline void shift_number(const std::uint8_t* segment, std::uint8_t* at, std::uint32_t delta,
                         packet::ChecksumDelta& checksum) {
  const std::uint32_t before = packet::load<std::uint32_t>(at);
  const std::uint32_t after = __builtin_bswap32(__builtin_bswap32(before) + delta);
  packet::store(at, after);
  if (((at - segment) & 1) == 0) {
    checksum.replace(before, after);
  } else {
    // At an odd offset each byte counts for the other half of its word (RFC 1071 section 2 B).
    checksum.replace(__builtin_bswap32(before), __builtin_bswap32(after));
  }
}

// The numbers in a segment that full NAT has moved.
template <class Family>
inline void shift_numbers(const packet::PacketView& view, const Flow<Family>& flow, Side from,
                          packet::ChecksumDelta& checksum) {
  std::uint8_t* tcp = view.l4;
  if ((view.tcp_flags & packet::tcp_flag::ack) == 0 && from == Side::server) {
    return;
  }
  // Outward the sequence number at 4, backward the acknowledgment at 8; either side is as likely as the other.
  const std::uint32_t back = 0U - flow.sequence_delta;
  const std::array deltas{flow.sequence_delta, back};
  shift_number(tcp, tcp + 4 + 4 * number(from), deltas[number(from)], checksum);
  constexpr std::uint8_t header_without_options = 5 << 4;
  if ((tcp[12] & 0xf0U) == header_without_options || from == Side::client) {
    return;
  }
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind != tcp_option::sack) {
      return;
    }
    for (std::size_t at = 2; at + 4 <= option.size(); at += 4) {
      shift_number(tcp, option.data() + at, back, checksum);
    }
  });
}

// Takes one off the hop limit, which is above 1. `header` is a change of the IPv4 header that the caller has caused.
template <class Family>
inline void age(std::uint8_t* l3, packet::ChecksumDelta header = {}) {
  if constexpr (Family::is_v6) {
    --l3[Family::ttl_offset];
  } else {
    // Read, changed and written as the word that the checksum covers; on x86 the hop limit is its low byte, and it does
    // not borrow, being above 1.
    const auto word = packet::load<std::uint16_t>(l3 + Family::ttl_offset);
    const auto aged = static_cast<std::uint16_t>(word - 1);
    packet::store(l3 + Family::ttl_offset, aged);
    header.replace(word, aged);
    packet::store(l3 + 10, header.apply(packet::load<std::uint16_t>(l3 + 10)));
  }
}

// Rewrites a packet of a flow that is not one-sided for the other side. Its hop limit is above 1. `extra` is a change
// of the layer-4 checksum that the caller has already caused.
template <class Family>
inline void rewrite(const packet::PacketView& view, const Flow<Family>& flow, Side from,
                    packet::ChecksumDelta extra = {}) {
  std::uint8_t* l3 = view.l3;
  std::uint8_t* l4 = view.l4;
  // Both ends are always replaced: in `nat` mode one of them by itself, which changes nothing and costs less than
  // asking.
  const auto old_addresses = packet::AddressPair<Family>::of(l3);
  const auto new_addresses = flow.addresses_towards(opposite(from));
  const auto old_ports = packet::load<std::uint32_t>(l4);
  const std::uint32_t new_ports = flow.ports_towards(opposite(from));
  packet::ChecksumDelta addresses;
  addresses.replace(old_addresses, new_addresses);
  packet::ChecksumDelta segment = extra;
  segment.add(addresses);
  segment.replace(old_ports, new_ports);
  packet::store(l3 + Family::source_offset, new_addresses);
  packet::store(l4, new_ports);

  age<Family>(l3, addresses);

  if (view.protocol == packet::protocol_tcp) {
    // Who a client is, its server is told by us or by nobody.
    if (!has_common_options(l4) && from == Side::client) [[unlikely]] {
      segment.add(erase_claims(l4));
    }
    if (flow.sequence_delta != 0) {
      shift_numbers(view, flow, from, segment);
    }
    packet::store(l4 + 16, segment.apply(packet::load<std::uint16_t>(l4 + 16)));
    return;
  }
  // RFC 768: zero says "no checksum" and stays zero; a sum that comes out as zero is sent as all ones.
  if (const auto checksum = packet::load<std::uint16_t>(l4 + 6); checksum != 0) {
    const std::uint16_t updated = segment.apply(checksum);
    packet::store(l4 + 6, updated == 0 ? std::uint16_t{0xffff} : updated);
  }
}

// The same of any flow.
template <class Family>
inline void pass_on(const packet::PacketView& view, const Flow<Family>& flow, Side from,
                    packet::ChecksumDelta extra = {}) {
  flow.one_sided() ? age<Family>(view.l3) : rewrite(view, flow, from, extra);
}

}  // namespace steelyard::l4

// Turning a client's packet into one for the server and back: addresses, ports, sequence numbers, hop limit, and every
// checksum that covers them, incrementally (RFC 1624). Written once for all modes and both families: `nat` is the case
// in which the local side equals the client's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/l4/flow.h"
#include "dataplane/l4/tcp_tracker.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/view.h"

namespace steelyard::l4 {

// TCP options (RFC 9293 section 3.1, RFC 7323 section 3.2, RFC 2018 section 3).
namespace tcp_option {
inline constexpr std::uint8_t end = 0;
inline constexpr std::uint8_t no_operation = 1;
inline constexpr std::uint8_t sack = 5;
inline constexpr std::uint8_t timestamps = 8;
}  // namespace tcp_option

// Calls `visit(kind, option)` for every well-formed option, `option` covering kind and length bytes too. Stops at the
// first malformed one: what cannot be read is passed on as it is.
template <class Visit>
inline void for_each_option(std::uint8_t* tcp, Visit&& visit) {
  std::span<std::uint8_t> rest{tcp + 20, (std::size_t{tcp[12]} >> 4U << 2U) - 20};
  while (!rest.empty() && rest[0] != tcp_option::end) {
    if (rest[0] == tcp_option::no_operation) {
      rest = rest.subspan(1);
      continue;
    }
    if (rest.size() < 2 || rest[1] < 2 || rest[1] > rest.size()) {
      return;
    }
    visit(rest[0], rest.first(rest[1]));
    rest = rest.subspan(rest[1]);
  }
}

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

// Replaces the timestamps option of a SYN by no-operations: without it the server judges a reused local port by
// sequence numbers alone, and those we keep growing.
inline void strip_timestamps(std::uint8_t* tcp, packet::ChecksumDelta& checksum) {
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind != tcp_option::timestamps) {
      return;
    }
    for (std::uint8_t& byte : option) {
      const auto offset = static_cast<std::size_t>(&byte - tcp);
      std::uint8_t* word = tcp + (offset & ~std::size_t{1});
      const auto before = packet::load<std::uint16_t>(word);
      byte = tcp_option::no_operation;
      checksum.replace(before, packet::load<std::uint16_t>(word));
    }
  });
}

// The numbers in a segment that full NAT has moved.
template <class Family>
inline void shift_numbers(const packet::PacketView& view, const Flow<Family>& flow, Side from,
                          packet::ChecksumDelta& checksum) {
  std::uint8_t* tcp = view.l4;
  if (from == Side::client) {
    shift_number(tcp, tcp + 4, flow.sequence_delta, checksum);
    return;
  }
  if ((view.tcp_flags & packet::tcp_flag::ack) == 0) {
    return;
  }
  const std::uint32_t back = 0U - flow.sequence_delta;
  shift_number(tcp, tcp + 8, back, checksum);
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind != tcp_option::sack) {
      return;
    }
    for (std::size_t at = 2; at + 4 <= option.size(); at += 4) {
      shift_number(tcp, option.data() + at, back, checksum);
    }
  });
}

// Rewrites a packet of the flow for the other side. Its hop limit is above 1. `extra` is a change of the layer-4
// checksum that the caller has already caused.
template <class Family>
inline void rewrite(const packet::PacketView& view, const Flow<Family>& flow, Side from,
                    packet::ChecksumDelta extra = {}) {
  const bool outward = from == Side::client;
  std::uint8_t* l3 = view.l3;
  std::uint8_t* l4 = view.l4;

  packet::ChecksumDelta addresses;
  const auto replace_address = [&](std::size_t offset, const typename Family::Address& after) {
    addresses.replace(packet::load<typename Family::Address>(l3 + offset), after);
    packet::store(l3 + offset, after);
  };
  packet::ChecksumDelta segment = extra;
  const auto replace_port = [&](std::size_t offset, std::uint16_t after) {
    segment.replace(packet::load<std::uint16_t>(l4 + offset), after);
    packet::store(l4 + offset, after);
  };
  const bool both_ends = flow.mode() == service::Mode::fullnat;
  if (outward) {
    replace_address(Family::destination_offset, flow.server);
    replace_port(2, flow.server_port);
    if (both_ends) {
      replace_address(Family::source_offset, flow.local);
      replace_port(0, flow.local_port);
    }
  } else {
    replace_address(Family::source_offset, flow.vip);
    replace_port(0, flow.vip_port);
    if (both_ends) {
      replace_address(Family::destination_offset, flow.client);
      replace_port(2, flow.client_port);
    }
  }
  segment.add(addresses);

  if constexpr (Family::is_v6) {
    --l3[Family::ttl_offset];
  } else {
    packet::ChecksumDelta header = addresses;
    const auto before = packet::load<std::uint16_t>(l3 + Family::ttl_offset);
    --l3[Family::ttl_offset];
    header.replace(before, packet::load<std::uint16_t>(l3 + Family::ttl_offset));
    packet::store(l3 + 10, header.apply(packet::load<std::uint16_t>(l3 + 10)));
  }

  if (view.protocol == packet::protocol_tcp) {
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

}  // namespace steelyard::l4

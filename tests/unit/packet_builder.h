// Packets that read like packets, for tests and fuzz targets: whole Ethernet frames with right lengths and checksums
// from a tuple and the few fields that matter. The checksums here are a second, slow implementation, so that what they
// verify is not verified by itself.
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "dataplane/packet/family.h"
#include "dataplane/packet/sequence.h"
#include "dataplane/packet/view.h"

namespace steelyard::test {

using Bytes = std::vector<std::uint8_t>;

// GCC 12 sees a write beyond the end in vector::insert at the end of a vector of known size; not in this.
inline void append(Bytes& bytes, std::span<const std::uint8_t> more) {
  const std::size_t before = bytes.size();
  bytes.resize(before + more.size());
  std::ranges::copy(more, bytes.begin() + static_cast<std::ptrdiff_t>(before));
}
inline void put16(Bytes& bytes, std::size_t at, std::size_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value >> 8U);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value);
}
inline void put32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  put16(bytes, at, value >> 16U);
  put16(bytes, at + 2, value & 0xffffU);
}
[[nodiscard]] inline std::uint16_t get16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8U | bytes[at + 1]);
}
[[nodiscard]] inline std::uint32_t get32(std::span<const std::uint8_t> bytes, std::size_t at) {
  return std::uint32_t{get16(bytes, at)} << 16U | get16(bytes, at + 2);
}

// The one's complement sum, word by word as RFC 1071 section 4.1 writes it down.
[[nodiscard]] inline std::uint32_t slow_sum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
  for (std::size_t at = 0; at < bytes.size(); at += 2) {
    sum += std::uint32_t{bytes[at]} << 8U;
    sum += at + 1 < bytes.size() ? bytes[at + 1] : 0U;
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return sum;
}
[[nodiscard]] inline std::uint16_t slow_checksum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
  return static_cast<std::uint16_t>(~slow_sum(bytes, sum));
}

template <class Family>
[[nodiscard]] typename Family::Address address(const std::string& text) {
  typename Family::Address result;
  if (inet_pton(Family::is_v6 ? AF_INET6 : AF_INET, text.c_str(), &result.raw) != 1) {
    throw std::invalid_argument("no address: " + text);
  }
  return result;
}

// From one address and port to another; ports in host order.
template <class Family>
[[nodiscard]] packet::Tuple<Family> tuple(std::uint8_t protocol, const std::string& source, std::uint16_t source_port,
                                          const std::string& destination, std::uint16_t destination_port) {
  return {address<Family>(source), address<Family>(destination), __builtin_bswap16(source_port),
          __builtin_bswap16(destination_port), protocol};
}

// A frame in its own memory, of exactly its length, so that a sanitizer sees any read beyond it.
struct Frame {
  Bytes bytes;

  [[nodiscard]] packet::PacketView parse(packet::ParseOptions options = {}) {
    return packet::parse(bytes, bytes.size(), options);
  }
  [[nodiscard]] std::span<std::uint8_t> l3() { return std::span(bytes).subspan(packet::ethernet_header_size); }
  [[nodiscard]] bool is_v6() const { return bytes[14] >> 4U == 6; }
  [[nodiscard]] std::size_t l4_offset() const { return 14U + (is_v6() ? 40U : (bytes[14] & 0x0fU) * 4U); }
  [[nodiscard]] std::span<std::uint8_t> l4() { return std::span(bytes).subspan(l4_offset()); }
  [[nodiscard]] std::uint8_t protocol() const { return bytes[is_v6() ? 20 : 23]; }
  [[nodiscard]] std::uint8_t ttl() const { return bytes[is_v6() ? 21 : 22]; }
  // TCP fields.
  [[nodiscard]] packet::Sequence sequence() { return {get32(l4(), 4)}; }
  [[nodiscard]] packet::Sequence acknowledgment() { return {get32(l4(), 8)}; }
  [[nodiscard]] std::uint8_t flags() { return l4()[13]; }
  [[nodiscard]] Bytes tcp_payload() {
    const std::size_t header = std::size_t{l4()[12]} >> 4U << 2U;
    return {l4().begin() + static_cast<std::ptrdiff_t>(header), l4().end()};
  }

  // Of an IP packet without IPv6 extension headers: are its checksums right? A UDP checksum of zero over IPv4 says
  // nothing and is right.
  [[nodiscard]] bool checksums_right() {
    if (!is_v6() && slow_checksum(l3().first(l4_offset() - 14)) != 0) {
      return false;
    }
    if (protocol() == packet::protocol_icmp) {
      return slow_checksum(l4()) == 0;
    }
    if (protocol() == packet::protocol_udp && get16(l4(), 6) == 0) {
      return true;
    }
    return slow_checksum(l4(), pseudo_header_sum()) == 0;
  }
  // Sets the header checksum and that of TCP, UDP, ICMP or ICMPv6 after fields were changed by hand.
  void fix_checksums() {
    if (!is_v6()) {
      put16(bytes, 24, 0);
      put16(bytes, 24, slow_checksum(l3().first(l4_offset() - 14)));
    }
    std::size_t at = l4_offset();
    switch (protocol()) {
      case packet::protocol_tcp:
        at += 16;
        break;
      case packet::protocol_udp:
        at += 6;
        break;
      case packet::protocol_icmp:
      case packet::protocol_icmpv6:
        at += 2;
        break;
      default:
        return;
    }
    if (at + 2 > bytes.size()) {
      return;
    }
    put16(bytes, at, 0);
    const std::uint16_t sum = slow_checksum(l4(), protocol() == packet::protocol_icmp ? 0 : pseudo_header_sum());
    put16(bytes, at, protocol() == packet::protocol_udp && sum == 0 ? 0xffffU : sum);
  }

 private:
  [[nodiscard]] std::uint32_t pseudo_header_sum() {
    const std::size_t size = is_v6() ? 16 : 4;
    const std::uint32_t addresses = slow_sum(l3().subspan(is_v6() ? 8 : 12, 2 * size));
    return addresses + protocol() + static_cast<std::uint32_t>(l4().size());
  }
};

struct IpFields {
  std::uint8_t ttl = 64;
  Bytes options{};      // IPv4: a multiple of four bytes. IPv6: extension headers, of which the last is followed by l4
  int first_next = -1;  // IPv6 with extension headers: the number of the first one
};

// A frame around a layer-4 payload.
template <class Family>
[[nodiscard]] Frame ip(const typename Family::Address& source, const typename Family::Address& destination,
                       std::uint8_t protocol, const Bytes& payload, const IpFields& fields = {}) {
  Frame frame;
  frame.bytes = {0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02};
  frame.bytes.resize(14 + Family::header_size);
  put16(frame.bytes, 12, Family::ether_type);
  std::uint8_t* l3 = frame.bytes.data() + 14;
  packet::store(l3 + Family::source_offset, source);
  packet::store(l3 + Family::destination_offset, destination);
  l3[Family::ttl_offset] = fields.ttl;
  if constexpr (Family::is_v6) {
    l3[0] = 0x60;
    l3[6] = fields.first_next < 0 ? protocol : static_cast<std::uint8_t>(fields.first_next);
    put16(frame.bytes, 18, fields.options.size() + payload.size());
  } else {
    l3[0] = static_cast<std::uint8_t>(0x45 + fields.options.size() / 4);
    l3[9] = protocol;
    put16(frame.bytes, 16, 20 + fields.options.size() + payload.size());
  }
  append(frame.bytes, fields.options);
  append(frame.bytes, payload);
  if constexpr (!Family::is_v6) {
    put16(frame.bytes, 24, slow_checksum(frame.l3().first(20 + fields.options.size())));
  }
  return frame;
}

struct TcpFields {
  packet::Sequence sequence{};
  packet::Sequence acknowledgment{};
  std::uint8_t flags = packet::tcp_flag::ack;
  Bytes options{};  // a multiple of four bytes
  std::size_t payload = 0;
  IpFields ip{};
};

template <class Family>
[[nodiscard]] Frame tcp(const packet::Tuple<Family>& ends, const TcpFields& fields = {}) {
  Bytes segment(20);
  packet::store(segment.data(), ends.source_port);
  packet::store(segment.data() + 2, ends.destination_port);
  put32(segment, 4, fields.sequence.value);
  put32(segment, 8, fields.acknowledgment.value);
  segment[12] = static_cast<std::uint8_t>((5 + fields.options.size() / 4) << 4U);
  segment[13] = fields.flags;
  put16(segment, 14, 0xfaf0);
  append(segment, fields.options);
  for (std::size_t at = 0; at < fields.payload; ++at) {
    segment.push_back(static_cast<std::uint8_t>('a' + at % 26));
  }
  Frame frame = ip<Family>(ends.source, ends.destination, packet::protocol_tcp, segment, fields.ip);
  if (fields.ip.first_next < 0) {
    frame.fix_checksums();
  }
  return frame;
}

struct UdpFields {
  std::size_t payload = 0;
  bool without_checksum = false;
  IpFields ip{};
};

template <class Family>
[[nodiscard]] Frame udp(const packet::Tuple<Family>& ends, const UdpFields& fields = {}) {
  Bytes datagram(8);
  packet::store(datagram.data(), ends.source_port);
  packet::store(datagram.data() + 2, ends.destination_port);
  put16(datagram, 4, 8 + fields.payload);
  for (std::size_t at = 0; at < fields.payload; ++at) {
    datagram.push_back(static_cast<std::uint8_t>('A' + at % 26));
  }
  Frame frame = ip<Family>(ends.source, ends.destination, packet::protocol_udp, datagram, fields.ip);
  if (!fields.without_checksum && fields.ip.first_next < 0) {
    frame.fix_checksums();
  }
  return frame;
}

// An IP packet as something else has built it, in a frame.
[[nodiscard]] inline Frame framed(std::span<const std::uint8_t> ip_packet) {
  Frame frame{{0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02, 0, 0}};
  put16(frame.bytes, 12, ip_packet[0] >> 4U == 6 ? 0x86ddU : 0x0800U);
  append(frame.bytes, ip_packet);
  return frame;
}

}  // namespace steelyard::test

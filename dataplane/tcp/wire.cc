#include "dataplane/tcp/wire.h"

#include <algorithm>

namespace steelyard::tcp {
namespace {

constexpr std::size_t checksum_offset = 16;

std::uint32_t load_be32(const std::uint8_t* from) {
  return __builtin_bswap32(packet::load<std::uint32_t>(from));
}
void store_be16(std::uint8_t* to, std::uint16_t value) {
  packet::store(to, __builtin_bswap16(value));
}
void store_be32(std::uint8_t* to, std::uint32_t value) {
  packet::store(to, __builtin_bswap32(value));
}

// RFC 9293 section 3.1, RFC 8200 section 8.1. Source and destination count alike.
std::uint64_t pseudo_header_sum(const Endpoints& endpoints, std::size_t length) {
  std::uint64_t sum = __builtin_bswap16(packet::protocol_tcp);
  sum += __builtin_bswap32(static_cast<std::uint32_t>(length));
  if (endpoints.ipv4()) {
    return sum + packet::sum_of(ipv4_of(endpoints.remote).bytes()) + packet::sum_of(ipv4_of(endpoints.local).bytes());
  }
  return sum + packet::sum_of(endpoints.remote.bytes()) + packet::sum_of(endpoints.local.bytes());
}

}  // namespace

void read_header(std::span<const std::uint8_t> tcp, SegmentHeader& header) {
  header.sequence = {load_be32(&tcp[4])};
  header.acknowledgment = {load_be32(&tcp[8])};
  header.flags = tcp[13];
  header.window = packet::load_be16(&tcp[14]);
  const std::size_t length =
      std::clamp<std::size_t>(std::size_t{tcp[12]} >> 4U << 2U, packet::tcp_header_size, tcp.size());
  read_options(tcp.first(length).subspan(packet::tcp_header_size), header.options);
}

Endpoints endpoints_of(const packet::PacketView& view) {
  Endpoints endpoints;
  if (view.is_v6) {
    endpoints.remote = view.source<packet::Ipv6>();
    endpoints.local = view.destination<packet::Ipv6>();
  } else {
    endpoints.remote = mapped(view.source<packet::Ipv4>());
    endpoints.local = mapped(view.destination<packet::Ipv4>());
  }
  endpoints.remote_port = packet::load_be16(view.l4);
  endpoints.local_port = packet::load_be16(view.l4 + 2);
  return endpoints;
}

std::size_t write_header(std::span<std::uint8_t, largest_tcp_header> to, const Endpoints& endpoints,
                         const SegmentHeader& segment) {
  const std::size_t options = write_options(segment.options, to.subspan<packet::tcp_header_size>());
  const std::size_t length = packet::tcp_header_size + options;
  store_be16(&to[0], endpoints.local_port);
  store_be16(&to[2], endpoints.remote_port);
  store_be32(&to[4], segment.sequence.value);
  store_be32(&to[8], segment.acknowledgment.value);
  to[12] = static_cast<std::uint8_t>(length << 2U);
  to[13] = segment.flags;
  store_be16(&to[14], segment.window);
  store_be32(&to[checksum_offset], 0);  // and the urgent pointer
  return length;
}

void store_checksum(std::span<std::uint8_t> header, const Endpoints& endpoints, std::size_t payload_length,
                    std::uint64_t payload_sum) {
  packet::store(&header[checksum_offset], std::uint16_t{0});
  const std::uint64_t sum =
      pseudo_header_sum(endpoints, header.size() + payload_length) + packet::sum_of(header) + payload_sum;
  packet::store(&header[checksum_offset], static_cast<std::uint16_t>(~packet::fold(sum)));
}

void store_pseudo_header_sum(std::span<std::uint8_t> header, const Endpoints& endpoints, std::size_t payload_length) {
  packet::store(&header[checksum_offset], packet::fold(pseudo_header_sum(endpoints, header.size() + payload_length)));
}

bool checksum_is_right(std::uint64_t sum, std::size_t length, const Endpoints& endpoints) {
  const std::uint16_t folded = packet::fold(pseudo_header_sum(endpoints, length) + sum);
  return folded == 0xffff || folded == 0;
}

}  // namespace steelyard::tcp

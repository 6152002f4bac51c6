// The two address families as types, so that everything from the flow entry to the checksum is written once. Addresses
// here are what stands in the packet: network order, compared and hashed as they are.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace steelyard::packet {

// Loads and stores of unaligned header fields; the compiler makes a single move of each.
template <class Value>
[[nodiscard]] inline Value load(const void* from) {
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class Value>
inline void store(void* to, Value value) {
  std::memcpy(to, &value, sizeof value);
}

[[nodiscard]] inline std::uint16_t load_be16(const void* from) {
  return __builtin_bswap16(load<std::uint16_t>(from));
}

struct Ipv4Address {
  std::uint32_t raw = 0;  // network order
  [[nodiscard]] std::span<const std::uint8_t, 4> bytes() const {
    return std::span<const std::uint8_t, 4>(reinterpret_cast<const std::uint8_t*>(&raw), 4);
  }
  friend bool operator==(const Ipv4Address&, const Ipv4Address&) = default;
};

struct Ipv6Address {
  std::array<std::uint64_t, 2> raw{};  // network order
  [[nodiscard]] std::span<const std::uint8_t, 16> bytes() const {
    return std::span<const std::uint8_t, 16>(reinterpret_cast<const std::uint8_t*>(raw.data()), 16);
  }
  friend bool operator==(const Ipv6Address&, const Ipv6Address&) = default;
};

// Zero when they are equal.
[[nodiscard]] inline std::uint32_t difference(const Ipv4Address& left, const Ipv4Address& right) {
  return left.raw ^ right.raw;
}
[[nodiscard]] inline std::uint64_t difference(const Ipv6Address& left, const Ipv6Address& right) {
  return (left.raw[0] ^ right.raw[0]) | (left.raw[1] ^ right.raw[1]);
}

struct Ipv4 {
  using Address = Ipv4Address;
  static constexpr bool is_v6 = false;
  static constexpr std::size_t header_size = 20;  // without options
  static constexpr std::size_t source_offset = 12;
  static constexpr std::size_t destination_offset = 16;
  static constexpr std::size_t ttl_offset = 8;
  static constexpr std::uint16_t ether_type = 0x0800;
  static constexpr std::size_t minimum_mtu = 576;
};

struct Ipv6 {
  using Address = Ipv6Address;
  static constexpr bool is_v6 = true;
  static constexpr std::size_t header_size = 40;
  static constexpr std::size_t source_offset = 8;
  static constexpr std::size_t destination_offset = 24;
  static constexpr std::size_t ttl_offset = 7;
  static constexpr std::uint16_t ether_type = 0x86dd;
  static constexpr std::size_t minimum_mtu = 1280;
};

// Source and destination address as they stand side by side in a header, in words.
template <class Family>
struct AddressPair {
  std::array<std::uint64_t, Family::is_v6 ? 4 : 1> words;

  [[nodiscard]] static AddressPair of(const std::uint8_t* l3) { return load<AddressPair>(l3 + Family::source_offset); }
};
static_assert(sizeof(AddressPair<Ipv4>) == 8 && sizeof(AddressPair<Ipv6>) == 32);

// Zero when they are equal.
template <class Family>
[[nodiscard]] inline std::uint64_t difference(const AddressPair<Family>& left, const AddressPair<Family>& right) {
  std::uint64_t found = 0;
  for (std::size_t word = 0; word < left.words.size(); ++word) {
    found |= left.words[word] ^ right.words[word];
  }
  return found;
}

inline constexpr std::uint8_t protocol_tcp = 6;
inline constexpr std::uint8_t protocol_udp = 17;

// The addresses, ports and protocol of a TCP or UDP packet, as they stand in it.
template <class Family>
struct Tuple {
  typename Family::Address source;
  typename Family::Address destination;
  std::uint16_t source_port = 0;       // network order
  std::uint16_t destination_port = 0;  // network order
  std::uint8_t protocol = 0;

  // What a packet of the other direction carries.
  [[nodiscard]] Tuple reversed() const { return {destination, source, destination_port, source_port, protocol}; }
  // Without branches: on the packet path the answer is yes, and what differs is not asked.
  friend bool operator==(const Tuple& left, const Tuple& right) {
    const auto addresses = difference(left.source, right.source) | difference(left.destination, right.destination);
    const auto ports = (left.source_port ^ right.source_port) | (left.destination_port ^ right.destination_port);
    return (addresses | static_cast<std::uint32_t>(ports | (left.protocol ^ right.protocol))) == 0;
  }
};

}  // namespace steelyard::packet

// Keyed hashes over packet tuples. An attacker chooses the tuples but not the key: both operands of each widening
// multiplication are masked by secret words (the construction of wyhash and of Abseil's hash). A CRC would be cheaper,
// but it is linear: its collisions are the same under every key.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/packet/family.h"

namespace steelyard::packet {

// 256 secret bits, drawn once at start; the same for all workers, since all must agree on who owns a packet.
struct HashKey {
  std::array<std::uint64_t, 4> words{};
};

[[nodiscard]] inline std::uint64_t folded_multiply(std::uint64_t left, std::uint64_t right) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(left) * right;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

[[nodiscard]] inline std::uint64_t hash(const HashKey& key, const Tuple<Ipv4>& tuple) {
  const std::uint64_t addresses = (std::uint64_t{tuple.source.raw} << 32) | tuple.destination.raw;
  const std::uint64_t ports = (std::uint64_t{tuple.source_port} << 24) | (std::uint64_t{tuple.destination_port} << 8) |
                              (std::uint64_t{tuple.protocol} << 40);
  const std::uint64_t first = folded_multiply(addresses ^ key.words[0], ports ^ key.words[1]);
  return folded_multiply(first ^ key.words[2], key.words[3] ^ addresses);
}

[[nodiscard]] inline std::uint64_t hash(const HashKey& key, const Tuple<Ipv6>& tuple) {
  const std::uint64_t ports = (std::uint64_t{tuple.source_port} << 24) | (std::uint64_t{tuple.destination_port} << 8) |
                              (std::uint64_t{tuple.protocol} << 40);
  const std::uint64_t source = folded_multiply(tuple.source.raw[0] ^ key.words[0], tuple.source.raw[1] ^ key.words[1]);
  const std::uint64_t destination =
      folded_multiply(tuple.destination.raw[0] ^ key.words[2], tuple.destination.raw[1] ^ key.words[3]);
  return folded_multiply(source ^ ports ^ key.words[1], destination ^ key.words[0]);
}

// Hash of one end of a connection: which worker owns a client.
[[nodiscard]] inline std::uint64_t hash(const HashKey& key, const Ipv4Address& address, std::uint16_t port) {
  return folded_multiply(folded_multiply(address.raw ^ key.words[1], port ^ key.words[2]) ^ key.words[3], key.words[0]);
}
[[nodiscard]] inline std::uint64_t hash(const HashKey& key, const Ipv6Address& address, std::uint16_t port) {
  const std::uint64_t folded = folded_multiply(address.raw[0] ^ key.words[1], address.raw[1] ^ key.words[2]);
  return folded_multiply(folded ^ port ^ key.words[3], key.words[0]);
}

// Maps a hash to 0..buckets-1 without a division (Lemire, "Fast random integer generation in an interval").
[[nodiscard]] inline std::uint32_t reduce(std::uint64_t hash, std::uint32_t buckets) {
  return static_cast<std::uint32_t>(((hash >> 32) * buckets) >> 32);
}

}  // namespace steelyard::packet

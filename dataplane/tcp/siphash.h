// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): for numbers that an attacker sees and must not
// foresee. Tables use the faster packet::hash, whose values nobody sees.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/tcp/endpoints.h"

namespace steelyard::tcp {

struct SipKey {
  std::array<std::uint64_t, 2> words{};
};

// Over whole 64-bit words, read as little-endian bytes.
[[nodiscard]] inline std::uint64_t siphash(const SipKey& key, std::span<const std::uint64_t> words) {
  std::array<std::uint64_t, 4> v{key.words[0] ^ 0x736f6d6570736575U, key.words[1] ^ 0x646f72616e646f6dU,
                                 key.words[0] ^ 0x6c7967656e657261U, key.words[1] ^ 0x7465646279746573U};
  const auto round = [&v] {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = std::rotl(v[1], 13) ^ v[0];
    v[3] = std::rotl(v[3], 16) ^ v[2];
    v[0] = std::rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = std::rotl(v[1], 17) ^ v[2];
    v[3] = std::rotl(v[3], 21) ^ v[0];
    v[2] = std::rotl(v[2], 32);
  };
  const auto absorb = [&](std::uint64_t word) {
    v[3] ^= word;
    round();
    round();
    v[0] ^= word;
  };
  for (const std::uint64_t word : words) {
    absorb(word);
  }
  absorb(std::uint64_t{words.size() * 8} << 56U);
  v[2] ^= 0xffU;
  for (int i = 0; i < 4; ++i) {
    round();
  }
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

// Over a connection's endpoints and one more word.
[[nodiscard]] inline std::uint64_t siphash(const SipKey& key, const Endpoints& endpoints, std::uint64_t more) {
  const std::array<std::uint64_t, 6> words{endpoints.remote.raw[0],
                                           endpoints.remote.raw[1],
                                           endpoints.local.raw[0],
                                           endpoints.local.raw[1],
                                           std::uint64_t{endpoints.remote_port} << 16U | endpoints.local_port,
                                           more};
  return siphash(key, words);
}

}  // namespace steelyard::tcp

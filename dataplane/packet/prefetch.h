// Asks the cache for memory before it is needed. Compilers take a function that only prefetches for one without any
// effect, and leave out calls of it (GCC 12 does, unless it is inlined early); the empty assembly keeps them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace steelyard::packet {

inline constexpr std::uintptr_t cache_line = 64;

[[gnu::always_inline]] inline void prefetch_to_read(const void* line) {
  __builtin_prefetch(line, 0);
  asm volatile("");
}

[[gnu::always_inline]] inline void prefetch_to_write(const void* line) {
  __builtin_prefetch(line, 1);
  asm volatile("");
}

// All lines that `octets` from `begin` on lie in.
inline void prefetch_to_write(const void* begin, std::size_t octets) {
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  for (std::uintptr_t line = first / cache_line * cache_line; line < first + octets; line += cache_line) {
    prefetch_to_write(reinterpret_cast<const void*>(line));
  }
}

}  // namespace steelyard::packet

// Buffers for simulated worlds and tests: counted, with bytes that can be read back. Each has memory of its own, so
// that a sanitizer sees a slice that is used after its release.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/slice.h"

namespace steelyard::simulation {

class Buffers {
 public:
  // One reference, which is the caller's.
  [[nodiscard]] tcp::Slice slice(std::string_view bytes) {
    ++live_;
    auto* counted = new Counted{this, 1, std::string{bytes}};
    return {reinterpret_cast<tcp::Buffer*>(counted), 0, static_cast<std::uint32_t>(bytes.size())};
  }
  [[nodiscard]] static std::string_view bytes(const tcp::Slice& slice) {
    return std::string_view{counted(slice.buffer)->bytes}.substr(slice.offset, slice.length);
  }
  // Reads a slice and gives its reference back.
  [[nodiscard]] static std::string consume(const tcp::Slice& slice) {
    std::string result{bytes(slice)};
    release(slice.buffer);
    return result;
  }
  // Those that somebody holds.
  [[nodiscard]] int live() const { return live_; }
  [[nodiscard]] static tcp::BufferOperations operations() { return {retain, release}; }
  static void retain(tcp::Buffer* buffer) { ++counted(buffer)->references; }
  static void release(tcp::Buffer* buffer) {
    Counted* held = counted(buffer);
    if (held->references <= 0) {
      std::abort();  // once too often
    }
    if (--held->references == 0) {
      --held->owner->live_;
      delete held;
    }
  }

 private:
  struct Counted {
    Buffers* owner;
    int references;
    std::string bytes;
  };
  static Counted* counted(tcp::Buffer* buffer) { return reinterpret_cast<Counted*>(buffer); }

  int live_ = 0;
};

// What all streams of tests and worlds are made of: octet `position` of the stream of `side`. The pattern is longer
// than every window, so that no octet passes for another one.
class Pattern {
 public:
  static constexpr std::size_t longest = 65'536;  // piece

  // At most `longest` octets.
  [[nodiscard]] static std::string_view piece(unsigned side, std::uint64_t position, std::size_t length) {
    static const std::string octets = make();
    return std::string_view{octets}.substr((position + side * 3'000'017U) % period, length);
  }

 private:
  static constexpr std::size_t period = 8'388'593;  // a prime

  static std::string make() {
    std::string octets(period + longest, '\0');
    std::uint32_t state = 1;
    for (std::size_t position = 0; position < period; ++position) {
      state = state * 1'664'525U + 1'013'904'223U;
      octets[position] = static_cast<char>(state >> 24U);
    }
    octets.replace(period, longest, octets, 0, longest);
    return octets;
  }
};

}  // namespace steelyard::simulation

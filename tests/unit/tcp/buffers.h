// Buffers for tests: counted, with bytes that can be read back. What is left at the end is a leak, and what is released
// too often an error.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/slice.h"

namespace steelyard::tcp::test {

class Buffers {
 public:
  ~Buffers() { EXPECT_EQ(live_, 0) << "buffers are still held"; }

  // One reference, which is the caller's.
  [[nodiscard]] Slice slice(std::string_view bytes) {
    ++live_;
    auto* counted = new Counted{this, 1, std::string{bytes}};
    return {reinterpret_cast<Buffer*>(counted), 0, static_cast<std::uint32_t>(bytes.size())};
  }
  [[nodiscard]] static std::string_view bytes(const Slice& slice) {
    return std::string_view{counted(slice.buffer)->bytes}.substr(slice.offset, slice.length);
  }
  // Reads a slice and gives its reference back.
  [[nodiscard]] static std::string consume(const Slice& slice) {
    std::string result{bytes(slice)};
    release(slice.buffer);
    return result;
  }
  [[nodiscard]] int live() const { return live_; }
  [[nodiscard]] static BufferOperations operations() { return {retain, release}; }
  static void retain(Buffer* buffer) { ++counted(buffer)->references; }
  static void release(Buffer* buffer) {
    Counted* held = counted(buffer);
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
  static Counted* counted(Buffer* buffer) { return reinterpret_cast<Counted*>(buffer); }

  int live_ = 0;
};

}  // namespace steelyard::tcp::test

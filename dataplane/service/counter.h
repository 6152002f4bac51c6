// A counter with one writer, its worker, and any number of readers. A load and a store, no read-modify-write: on x86
// it costs what a plain integer costs.
#pragma once

#include <atomic>
#include <cstdint>

namespace steelyard::service {

template <class Number>
class SingleWriterCounter {
 public:
  void add(Number amount = 1) {
    value_.store(static_cast<Number>(value_.load(std::memory_order_relaxed) + amount), std::memory_order_relaxed);
  }
  void subtract(Number amount = 1) {
    value_.store(static_cast<Number>(value_.load(std::memory_order_relaxed) - amount), std::memory_order_relaxed);
  }
  void set(Number value) { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] Number get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<Number> value_{0};
};

using Counter = SingleWriterCounter<std::uint64_t>;
using Gauge = SingleWriterCounter<std::uint32_t>;

}  // namespace steelyard::service

// How many of something there were in the last second, in one word that one worker writes and all read: the sums over
// workers are what limits of new connections per second go by. Each worker counts what it lets in itself; whoever
// decides adds the counts of all. So the limit holds for all workers together, however traffic is spread over them, and
// nobody asks anybody: shares for each worker would refuse clients while others have room, leases from control or a
// worker that decides for all would make every new connection wait for somebody else. The price is a cache line for
// each worker and new connection where a limit is set, and that as many workers as decide in the same instant may
// each let one in.
//
// The window slides: the count of the running second, and as much of the second before as it still overlaps, taking
// that one's connections as spread evenly. Under constant pressure exactly the limit comes in each second, from the
// second one on evenly; a burst after silence may be as large as the limit.
//
//   word:  second, modulo 2^20 (12 days) | of the second before, 22 bits | of this second, 22 bits
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace steelyard::l4 {

// A moment as rate windows see it.
struct WindowTime {
  static constexpr unsigned second_bits = 20;
  // The second is cut into so many parts.
  static constexpr std::uint64_t parts = std::uint64_t{1} << 20U;

  std::uint32_t second = 0;   // modulo 2^second_bits
  std::uint64_t elapsed = 1;  // parts of the second, the present one included: who keeps to the limit is not refused

  static WindowTime at(std::uint64_t now_ns) {
    constexpr std::uint64_t second_ns = 1'000'000'000;
    return {static_cast<std::uint32_t>(now_ns / second_ns) & mask, (now_ns % second_ns) * parts / second_ns + 1};
  }
  // Whole seconds since then.
  [[nodiscard]] std::uint32_t seconds_since(std::uint32_t then) const { return (second - then) & mask; }

 private:
  static constexpr std::uint32_t mask = (1U << second_bits) - 1;
};

// `recent`: the sum of RateWindow::recent() over all workers. May one more come?
[[nodiscard]] inline bool has_room(std::uint64_t recent, std::uint32_t per_second) {
  return recent < per_second * WindowTime::parts;
}

class RateWindow {
 public:
  static constexpr std::uint32_t most_per_second = (1U << 22U) - 1;

  // In the last second, times WindowTime::parts. Any worker.
  [[nodiscard]] std::uint64_t recent(const WindowTime& now) const {
    const Counts counts = counts_at(now);
    return counts.current * WindowTime::parts + counts.previous * (WindowTime::parts - now.elapsed);
  }
  // One more. The owner alone.
  void add(const WindowTime& now) {
    const Counts counts = counts_at(now);
    const std::uint64_t current = std::min<std::uint64_t>(counts.current + 1, most_per_second);
    word_.store(std::uint64_t{now.second} << 44U | counts.previous << 22U | current, std::memory_order_relaxed);
  }
  void clear() { word_.store(0, std::memory_order_relaxed); }
  // The second of the last one.
  [[nodiscard]] std::uint32_t last_second() const {
    return static_cast<std::uint32_t>(word_.load(std::memory_order_relaxed) >> 44U);
  }

 private:
  struct Counts {
    std::uint64_t current;
    std::uint64_t previous;
  };
  [[nodiscard]] Counts counts_at(const WindowTime& now) const {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    const std::uint64_t current = word & most_per_second;
    switch (now.seconds_since(static_cast<std::uint32_t>(word >> 44U))) {
      case 0:
        return {current, word >> 22U & most_per_second};
      case 1:
        return {0, current};
      default:
        return {0, 0};
    }
  }

  std::atomic<std::uint64_t> word_{0};
};

}  // namespace steelyard::l4

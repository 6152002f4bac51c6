// One hashed timing wheel (Varghese and Lauck 1987, scheme 6) for all timers of the health checks: arming and
// cancelling are O(1) and allocate nothing. Pure: time is passed in, nothing here sleeps. Every timer is intrusive; the
// wheel links it and never owns it. Deadlines are rounded up to a tick, so a timer is never early.
//
//   slot   0       1       2      ...   4095          4096 slots x 10 ms = 41 s per turn; a timer further out stays in
//   its
//        [list]  [list]  [list]        [list]         slot and is passed over (probe intervals end at 50 s, timeouts at
//          ^ one bit a slot says "not empty"          300 s, so a timer is passed over at most 7 times)
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

namespace steelyard::healthcheck {

class TimerWheel;

// Fires its callback once for each arming. Unlinks itself when destroyed. Must not outlive its wheel while armed.
class Timer {
 public:
  explicit Timer(std::function<void()> on_fire) : on_fire_(std::move(on_fire)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  [[nodiscard]] bool armed() const { return wheel_ != nullptr; }
  void cancel();

 private:
  friend class TimerWheel;
  std::function<void()> on_fire_;
  TimerWheel* wheel_ = nullptr;
  Timer* next_ = nullptr;
  Timer** link_ = nullptr;  // the pointer that points at this timer
  std::uint64_t tick_ = 0;
};

// One thread.
class TimerWheel {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds tick_length{10};
  static constexpr std::size_t slot_count = 4096;

  explicit TimerWheel(TimePoint start) : start_(start) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();

  // Links the timer (again) and returns the tick at which it will fire. A deadline that has passed fires at the next
  // tick.
  TimePoint arm(Timer& timer, TimePoint deadline);

  // Fires timers that are due at `now`, in order of their ticks, at most `budget` of them, so that one turn of the
  // event loop stays short. True when due timers are left: call again soon. A callback may arm any timer, and cancel
  // and destroy any but its own.
  bool advance(TimePoint now, std::size_t budget);

  // When advance() has something to do next (a bound: it may find only timers of a later turn); nullopt without timers.
  [[nodiscard]] std::optional<TimePoint> next_wake() const;

 private:
  friend class Timer;
  void link(Timer*& head, Timer& timer);
  void unlink(Timer& timer);
  void collect_due(std::uint64_t tick);
  [[nodiscard]] TimePoint time_of(std::uint64_t tick) const {
    return start_ + tick_length * static_cast<std::int64_t>(tick);
  }
  [[nodiscard]] std::uint64_t next_occupied(std::uint64_t from) const;

  TimePoint start_;
  std::uint64_t current_ = 0;  // the next tick to serve; the slots of earlier ones hold later turns only
  std::size_t armed_ = 0;
  Timer* due_ = nullptr;  // collected from their slot, not fired yet
  std::array<Timer*, slot_count> slots_{};
  std::array<std::uint64_t, slot_count / 64> occupied_{};
};

}  // namespace steelyard::healthcheck

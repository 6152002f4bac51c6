// The health checks' timers on an io_context: one wheel, one steady_timer. Must never keep the event loop busy for
// long: a turn fires at most `turn_budget` timers, then lets others run.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "healthcheck/timers.h"

namespace steelyard::healthcheck {

// Runs on the io_context's thread; must not outlive the io_context. Timers armed on it must go before it or be
// cancelled.
class AsioTimers final : public Timers {
 public:
  explicit AsioTimers(boost::asio::io_context& io);
  ~AsioTimers() override;

  [[nodiscard]] TimePoint now() const override { return Clock::now(); }
  void arm(Timer& timer, TimePoint deadline) override;

 private:
  // A timer may start a probe (up to 50 microseconds of system calls): 32 of them stay well below the 5 ms of a turn.
  static constexpr std::size_t turn_budget = 32;

  void wake_at(TimePoint when);
  void turn();

  TimerWheel wheel_;
  boost::asio::steady_timer alarm_;
  std::optional<TimePoint> alarm_at_;
  bool in_turn_ = false;
  std::shared_ptr<AsioTimers*> self_;  // handlers hold it weakly: one may be queued when this object goes
};

}  // namespace steelyard::healthcheck

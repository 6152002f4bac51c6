// What happens to packets, as lines of an admin answer: the events of a tap as JSON, and at the end how many there were
// and how many were lost. Control thread.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "control/admin/admin_stream.h"
#include "control/runtime/tap_board.h"

namespace steelyard::control {

struct TraceLimits {
  std::chrono::steady_clock::time_point until;
  std::uint64_t count;  // of events
};

// Turns the workers' time into that of the wall.
using WallClock = std::function<std::chrono::system_clock::time_point(std::uint64_t worker_ns)>;

class TraceStream final : public AdminStream {
 public:
  // `tap` is a tap of events.
  TraceStream(TapBoard& board, std::shared_ptr<worker::Tap> tap, TraceLimits limits, WallClock wall)
      : watch_(board, std::move(tap)), limits_(limits), wall_(std::move(wall)) {}

  [[nodiscard]] std::optional<boost::json::value> next() override;
  [[nodiscard]] bool ended() const override { return said_end_; }
  void stop() override { watch_.end(); }

 private:
  Watch watch_;
  TraceLimits limits_;
  WallClock wall_;
  std::uint64_t told_ = 0;
  std::uint64_t lost_told_ = 0;
  std::chrono::steady_clock::time_point next_lost_;  // no sooner is it told again
  bool said_end_ = false;
};

// One event as a line says it.
[[nodiscard]] boost::json::object to_json(const worker::PacketEvent& event, std::chrono::system_clock::time_point time);

}  // namespace steelyard::control

// See the header.
#include "healthcheck/asio_timers.h"

namespace steelyard::healthcheck {

AsioTimers::AsioTimers(boost::asio::io_context& io)
    : wheel_(Clock::now()), alarm_(io), self_(std::make_shared<AsioTimers*>(this)) {}

AsioTimers::~AsioTimers() = default;

void AsioTimers::arm(Timer& timer, TimePoint deadline) {
  const TimePoint fires = wheel_.arm(timer, deadline);
  if (!in_turn_ && (!alarm_at_ || fires < *alarm_at_))
    wake_at(fires);
}

void AsioTimers::wake_at(TimePoint when) {
  alarm_at_ = when;
  alarm_.expires_at(when);
  alarm_.async_wait([weak = std::weak_ptr(self_)](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self)
      (*self)->turn();
  });
}

void AsioTimers::turn() {
  in_turn_ = true;
  alarm_at_.reset();
  const TimePoint now = Clock::now();
  const bool more = wheel_.advance(now, turn_budget);
  in_turn_ = false;
  if (more) {
    wake_at(now);
  } else if (const auto next = wheel_.next_wake()) {
    wake_at(*next);
  }
}

}  // namespace steelyard::healthcheck

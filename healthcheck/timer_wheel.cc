// The timing wheel; see the header for the layout. Nothing here may allocate or read a clock.
#include "healthcheck/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace steelyard::healthcheck {

void Timer::cancel() {
  if (wheel_ != nullptr)
    wheel_->unlink(*this);
}

TimerWheel::~TimerWheel() {
  const auto release = [this](Timer*& head) {
    while (head != nullptr)
      unlink(*head);
  };
  release(due_);
  for (Timer*& head : slots_)
    release(head);
}

void TimerWheel::link(Timer*& head, Timer& timer) {
  timer.next_ = head;
  timer.link_ = &head;
  if (head != nullptr)
    head->link_ = &timer.next_;
  head = &timer;
}

void TimerWheel::unlink(Timer& timer) {
  *timer.link_ = timer.next_;
  if (timer.next_ != nullptr)
    timer.next_->link_ = timer.link_;
  timer.wheel_ = nullptr;
  --armed_;
  const std::size_t slot = timer.tick_ % slot_count;
  if (slots_[slot] == nullptr)
    occupied_[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
}

TimerWheel::TimePoint TimerWheel::arm(Timer& timer, TimePoint deadline) {
  timer.cancel();
  const auto distance = std::max(deadline - start_, TimePoint::duration::zero());
  constexpr TimePoint::duration tick = tick_length;
  timer.tick_ = std::max(current_, static_cast<std::uint64_t>((distance + tick - TimePoint::duration{1}) / tick));
  timer.wheel_ = this;
  ++armed_;
  const std::size_t slot = timer.tick_ % slot_count;
  link(slots_[slot], timer);
  occupied_[slot / 64] |= std::uint64_t{1} << (slot % 64);
  return time_of(timer.tick_);
}

// Slots hold the youngest timer first; moving them one by one turns the order round, so that the oldest fires first.
void TimerWheel::collect_due(std::uint64_t tick) {
  const std::size_t slot = tick % slot_count;
  Timer* timer = slots_[slot];
  while (timer != nullptr) {
    Timer* const next = timer->next_;
    if (timer->tick_ <= tick) {
      *timer->link_ = next;
      if (next != nullptr)
        next->link_ = timer->link_;
      link(due_, *timer);
    }
    timer = next;
  }
  if (slots_[slot] == nullptr)
    occupied_[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
}

bool TimerWheel::advance(TimePoint now, std::size_t budget) {
  if (now < start_)
    return false;
  const auto last = static_cast<std::uint64_t>((now - start_) / tick_length);
  for (;;) {
    while (due_ != nullptr) {
      if (budget == 0)
        return true;
      --budget;
      Timer& timer = *due_;
      unlink(timer);
      timer.on_fire_();
    }
    current_ = std::max(current_, std::min(next_occupied(current_), last + 1));
    if (current_ > last)
      return false;
    collect_due(current_);
    ++current_;
  }
}

// The first tick at or after `from` whose slot is not empty; one whole turn later when all are empty.
std::uint64_t TimerWheel::next_occupied(std::uint64_t from) const {
  const std::uint64_t end = from + slot_count;
  for (std::uint64_t tick = from; tick < end;) {
    const std::size_t slot = tick % slot_count;
    const std::uint64_t rest = occupied_[slot / 64] >> (slot % 64);
    if (rest != 0)
      return std::min(end, tick + static_cast<std::uint64_t>(std::countr_zero(rest)));
    tick += 64 - slot % 64;
  }
  return end;
}

std::optional<TimerWheel::TimePoint> TimerWheel::next_wake() const {
  if (armed_ == 0)
    return std::nullopt;
  return due_ != nullptr ? time_of(current_ - 1) : time_of(next_occupied(current_));
}

}  // namespace steelyard::healthcheck

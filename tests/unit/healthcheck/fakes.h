// A virtual clock and a prober whose answers the test gives: with them a Checker runs for hours in no time.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "healthcheck/probe.h"
#include "healthcheck/timers.h"

namespace steelyard::healthcheck::testing {

inline ProbeResult success(std::string reason = "connected") {
  return {.outcome = ProbeOutcome::success, .reason = std::move(reason)};
}
inline ProbeResult failure(std::string reason = "connection refused") {
  return {.reason = std::move(reason)};
}
inline ProbeResult our_fault() {
  return {.outcome = ProbeOutcome::local_error, .reason = "cannot probe"};
}

class ManualTimers final : public Timers {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  void arm(Timer& timer, TimePoint deadline) override { wheel_.arm(timer, deadline); }

  // Lets time pass, stopping at every deadline on the way.
  void pass(std::chrono::milliseconds duration) {
    const TimePoint end = now_ + duration;
    for (auto next = wheel_.next_wake(); next && *next <= end; next = wheel_.next_wake()) {
      now_ = std::max(now_, *next);
      while (wheel_.advance(now_, 1'000)) {
      }
    }
    now_ = end;
  }

 private:
  TimePoint now_{std::chrono::hours{1}};
  TimerWheel wheel_{now_};
};

// Keeps every probe open until the test answers it.
class FakeProber final : public Prober {
 public:
  ProbeHandle start(const ProbeSpec& spec, Done done) override {
    const ProbeHandle handle{++last_};
    open_.emplace(handle.value, std::pair{&spec, std::move(done)});
    ++starts_[spec.port];
    return handle;
  }
  void cancel(ProbeHandle handle) override { open_.erase(handle.value); }

  [[nodiscard]] std::size_t open() const { return open_.size(); }
  // Probes ever started towards a port.
  [[nodiscard]] int starts(std::uint16_t port) const { return starts_.contains(port) ? starts_.at(port) : 0; }

  // Answers every open probe towards a port.
  void answer(std::uint16_t port, const ProbeResult& result) {
    std::vector<std::uint64_t> handles;
    for (const auto& [handle, probe] : open_) {
      if (probe.first->port == port)
        handles.push_back(handle);
    }
    ASSERT_FALSE(handles.empty()) << "no probe towards port " << port;
    for (const std::uint64_t handle : handles)
      answer_handle(handle, result);
  }
  // Answers the oldest open probe.
  void answer_oldest(const ProbeResult& result) {
    ASSERT_FALSE(open_.empty());
    answer_handle(open_.begin()->first, result);
  }

 private:
  void answer_handle(std::uint64_t handle, const ProbeResult& result) {
    const auto entry = open_.find(handle);
    if (entry == open_.end())
      return;
    const Done done = std::move(entry->second.second);
    open_.erase(entry);
    done(result);
  }

  std::uint64_t last_ = 0;
  std::map<std::uint64_t, std::pair<const ProbeSpec*, Done>> open_;
  std::map<std::uint16_t, int> starts_;
};

}  // namespace steelyard::healthcheck::testing

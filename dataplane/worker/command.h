// What control asks of a worker through its mailbox: walks over the flow tables, in bounded steps. Control allocates a
// command with room for its results, posts it, and frees it after `done`; the worker never allocates.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/l4/balancer.h"

namespace steelyard::worker {

class FlowCommand {
 public:
  enum class Action : std::uint8_t { count, list, reset, keep_bandwidth };

  FlowCommand(Action action, l4::FlowFilter filter, std::size_t most_records)
      : action_(action), filter_(std::move(filter)), most_records_(most_records) {
    records_.reserve(most_records);
  }

  // Worker: goes on for at most `budget` entries. True when all are done (or the list is full).
  bool step(l4::Balancer& balancer, std::size_t budget) {
    if (action_ == Action::reset) {
      const auto progress = balancer.reset(filter_, cursor_, budget);
      matches_ += progress.ended;
      cursor_ = progress.next.value_or(0);
      return !progress.next;
    }
    if (action_ == Action::keep_bandwidth) {
      const auto next = balancer.forget_hops_of_limited(cursor_, budget);
      cursor_ = next.value_or(0);
      return !next;
    }
    const auto next = balancer.walk(filter_, cursor_, budget, [this](const l4::FlowRecord& record) {
      ++matches_;
      if (records_.size() < most_records_) {
        records_.push_back(record);
      }
    });
    cursor_ = next.value_or(0);
    return !next || (action_ == Action::list && records_.size() == most_records_);
  }
  void finish() { done_.store(true, std::memory_order_release); }

  // Control; the results are valid once done.
  [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t matches() const { return matches_; }
  [[nodiscard]] const std::vector<l4::FlowRecord>& records() const { return records_; }

 private:
  Action action_;
  l4::FlowFilter filter_;
  std::size_t most_records_;
  std::vector<l4::FlowRecord> records_;
  std::uint64_t matches_ = 0;
  std::uint64_t cursor_ = 0;
  std::atomic<bool> done_{false};
};

}  // namespace steelyard::worker

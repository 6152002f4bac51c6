// Where a worker's time goes: cycles by stage of the loop. The cost is one reading of the time stamp counter where one
// stage gives way to the next, some four a burst and none a packet. So a packet that opens a flow counts as `forward`
// until its flow is decided, and as `slow_path` from there on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <rte_cycles.h>

#include "dataplane/service/counter.h"

namespace steelyard::worker {

enum class Stage : std::uint8_t {
  receive,    // asking queues and rings for packets
  parse,      // parsing, hashing
  forward,    // look-up, rewriting; what else is decided packet by packet
  slow_path,  // flows that open, packets from other workers
  transmit,   // handing bursts to ports and rings
  timers,     // timeouts, neighbours, the mailbox
};
inline constexpr std::size_t stages = 6;
inline constexpr std::array<std::string_view, stages> stage_names{"receive",   "parse",    "forward",
                                                                  "slow_path", "transmit", "timers"};

class StageMeter {
 public:
  // Worker: a turn begins, with `receive`.
  void begin_turn() {
    turn_ = {};
    stage_ = Stage::receive;
    since_ = rte_rdtsc();
  }
  // Worker: from now on it is `stage`. Returns what it was, to go back to.
  Stage enter(Stage stage) {
    const std::uint64_t now = rte_rdtsc();
    turn_[static_cast<std::size_t>(stage_)] += now - since_;
    since_ = now;
    const Stage before = stage_;
    stage_ = stage;
    return before;
  }
  // Worker: the turn is over; one without work leaves no trace.
  void end_turn(bool worked) {
    if (worked) {
      enter(Stage::receive);
      for (std::size_t stage = 0; stage < stages; ++stage) {
        cycles_[stage].add(turn_[stage]);
      }
    }
  }

  // Any thread: cycles of all turns with work.
  [[nodiscard]] std::uint64_t cycles(Stage stage) const { return cycles_[static_cast<std::size_t>(stage)].get(); }

 private:
  std::uint64_t since_ = 0;
  Stage stage_ = Stage::receive;
  std::array<std::uint64_t, stages> turn_{};
  std::array<service::Counter, stages> cycles_;
};

}  // namespace steelyard::worker

// The Checker keeps a set of targets checked: it decides when each probe runs, shares one probe among all targets that
// want the same, keeps a cap on probes in flight and tells its owner of every change. It never touches a socket (the
// Prober does) and never reads a clock (Timers does). Control thread only; no call blocks.
//
// When the next probe starts: `interval` after the previous one *ended*. A target is thus down after at most
// timeout x unhealthy + interval x (unhealthy - 1), the window that users of the SLB offering know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "healthcheck/probe.h"
#include "healthcheck/state_machine.h"
#include "healthcheck/timers.h"

namespace steelyard::healthcheck {

// Chosen by the caller; means "the same target as before" across set_targets().
struct TargetId {
  std::uint64_t value = 0;
  friend auto operator<=>(const TargetId&, const TargetId&) = default;
};

struct TargetIdHash {
  [[nodiscard]] std::size_t operator()(TargetId id) const noexcept { return std::hash<std::uint64_t>{}(id.value); }
};

struct Target {
  TargetId id;
  ProbeSpec probe;
  Thresholds thresholds;
  Status initial = Status::up;  // for a target not known yet whose probe is new, too
};

struct TargetStatus {
  Status status = Status::up;
  bool proven = false;          // a whole run of results has confirmed `status`
  TimePoint since;              // of `status`
  std::uint32_t successes = 0;  // in a row
  std::uint32_t failures = 0;   // in a row
  std::uint64_t local_errors = 0;
  std::optional<ProbeResult> last;          // the latest result; nullopt before the first
  TimePoint last_time;                      // of `last`
  std::string check;                        // describe() of the probe
  std::optional<ProbeResult> down_because;  // the failure that took it out; nullopt when up or down from the start
  std::string down_check;                   // describe() of the probe that failed so: a reload may have changed it
  std::optional<LocalError> local_error;    // set while its probes cannot be made
};

struct Limits {
  // Sockets open at once. A silent UDP server holds one for its whole timeout, a dead TCP server too.
  std::size_t max_in_flight = 4096;
};

struct CheckerCounters {
  std::uint64_t started = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t local_errors = 0;
  std::uint64_t delayed = 0;    // had to wait for Limits::max_in_flight
  std::uint64_t cancelled = 0;  // their last target went away meanwhile
  std::uint64_t changes = 0;    // of a target's status
  std::size_t probes = 0;       // now: distinct probes
  std::size_t targets = 0;      // now
  std::size_t in_flight = 0;    // now
  std::size_t waiting = 0;      // now: due, but over the cap
};

// What became of probes that cannot be made since the last look. In targets, since that is what operators count.
struct LocalErrorNews {
  std::size_t began = 0;  // their probes could no longer be made
  std::size_t ended = 0;  // their probes can be made again
  std::size_t now = 0;    // whose latest probe could not be made
  std::string example;    // the check of one that began, and its error

  [[nodiscard]] bool empty() const { return began == 0 && ended == 0; }
};

class Checker {
 public:
  // Told after every status change, not for initial states: after set_targets(), status() has those. May call
  // set_targets(), but not destroy the Checker.
  using OnChange = std::function<void(TargetId, const TargetStatus&)>;

  // `seed` spreads first probes over their intervals. Prober and timers must outlive the Checker.
  Checker(Prober& prober, Timers& timers, Limits limits, std::uint64_t seed, OnChange on_change);
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;
  ~Checker();

  // Replaces the set. A new target whose probe is known already begins with what that probe has proven: a server that
  // is down is not given traffic again because one more listener uses it. Known targets keep status and counts; one
  // whose probe became another keeps its status and begins to count anew. Kept probes keep their phase, new ones start
  // within one interval from now, those that nobody wants any more are cancelled. Of targets with one id the first
  // counts.
  void set_targets(std::vector<Target> targets);

  [[nodiscard]] std::optional<TargetStatus> status(TargetId id) const;
  // Whether the target is known and up: cheaper than status().
  [[nodiscard]] bool is_up(TargetId id) const;
  [[nodiscard]] CheckerCounters counters() const;
  // Begins a new count. One probe that cannot be made is no event for OnChange: there may be thousands at once, and the
  // caller says how often it wants to hear of them.
  [[nodiscard]] LocalErrorNews take_local_error_news();

 private:
  static constexpr std::size_t turn_budget = 32;  // probes started in one go
  enum class Stage : std::uint8_t { scheduled, waiting, running };
  struct Probe;
  struct Member {
    Member(const Target& target, TimePoint now) : machine(target.thresholds, target.initial, now) {}
    StateMachine machine;
    std::string down_check;  // TargetStatus::down_check
    Probe* probe = nullptr;
    std::uint64_t generation = 0;  // of the set_targets() that named it last
  };
  using Members = std::unordered_map<TargetId, Member, TargetIdHash>;
  struct Probe {
    explicit Probe(Checker& checker) : due([&checker, this] { checker.on_due(*this); }) {}
    const ProbeSpec* spec = nullptr;  // the key in probes_
    Timer due;
    ProbeHandle handle;  // meaningful while running
    Stage stage = Stage::scheduled;
    std::vector<Members::value_type*> members;
    std::vector<Members::value_type*> former;  // the members before, during set_targets()
  };

  Probe& probe_for(ProbeSpec&& spec, TimePoint now);
  static void take_over(const Probe& probe, const Target& target, Member& member);
  void drop_unwanted();
  void on_due(Probe& probe);
  void start(Probe& probe);
  void start_waiting();
  void on_done(Probe& probe, const ProbeResult& result);
  bool record(Member& member, const ProbeResult& result, TimePoint now);
  void count(const ProbeResult& result);
  [[nodiscard]] static TargetStatus status_of(const Member& member);
  [[nodiscard]] Clock::duration first_delay(const ProbeSpec& spec) const;

  Prober& prober_;
  Timers& timers_;
  Limits limits_;
  std::uint64_t seed_;
  OnChange on_change_;
  std::unordered_map<ProbeSpec, Probe, ProbeSpecHash> probes_;
  Members targets_;
  std::deque<Probe*> waiting_;
  Timer resume_;  // goes on with start_waiting() after a pause for others
  std::uint64_t generation_ = 0;
  std::size_t in_flight_ = 0;
  CheckerCounters counters_;
  LocalErrorNews news_;  // but `now`
};

}  // namespace steelyard::healthcheck

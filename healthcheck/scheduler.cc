// See the header. Invariants: a probe in `probes_` has at least one member; its timer is armed exactly while it is
// `scheduled`; `in_flight_` counts the `running` ones; `waiting_` holds the `waiting` ones, first come first served.
#include "healthcheck/scheduler.h"

#include <algorithm>
#include <utility>

namespace steelyard::healthcheck {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): spreads neighbouring hashes over the whole range.
std::uint64_t scramble(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

}  // namespace

Checker::Checker(Prober& prober, Timers& timers, Limits limits, std::uint64_t seed, OnChange on_change)
    : prober_(prober), timers_(timers), limits_(limits), seed_(seed), on_change_(std::move(on_change)), resume_([this] {
        start_waiting();
      }) {
  limits_.max_in_flight = std::max<std::size_t>(limits_.max_in_flight, 1);
}

Checker::~Checker() {
  for (auto& [spec, probe] : probes_) {
    if (probe.stage == Stage::running)
      prober_.cancel(probe.handle);
  }
}

Clock::duration Checker::first_delay(const ProbeSpec& spec) const {
  const auto interval = std::chrono::duration_cast<Clock::duration>(spec.interval).count();
  if (interval <= 0)
    return Clock::duration::zero();
  const std::uint64_t spread = scramble(ProbeSpecHash{}(spec) ^ seed_);
  return Clock::duration(static_cast<Clock::rep>(spread % static_cast<std::uint64_t>(interval)));
}

Checker::Probe& Checker::probe_for(ProbeSpec&& spec, TimePoint now) {
  const auto [entry, fresh] = probes_.try_emplace(std::move(spec), *this);
  Probe& probe = entry->second;
  if (fresh) {
    probe.spec = &entry->first;
    timers_.arm(probe.due, now + first_delay(*probe.spec));
  }
  return probe;
}

// `former` is asked and not `members`: what a probe has proven counts also if all its targets go in this very call.
void Checker::take_over(const Probe& probe, const Target& target, Member& member) {
  const Member* best = nullptr;
  for (const Members::value_type* other : probe.former) {
    const StateMachine& machine = other->second.machine;
    if (!machine.proven())
      continue;
    const bool same_thresholds = machine.thresholds() == target.thresholds;
    if (best == nullptr || same_thresholds)
      best = &other->second;
    if (same_thresholds)
      break;
  }
  if (best == nullptr)
    return;
  member.machine = best->machine;
  member.machine.set_thresholds(target.thresholds);
  member.down_check = best->down_check;
}

void Checker::set_targets(std::vector<Target> targets) {
  const TimePoint now = timers_.now();
  ++generation_;
  for (auto& [spec, probe] : probes_)
    probe.former = std::exchange(probe.members, {});
  targets_.reserve(targets.size());
  probes_.reserve(targets.size());
  std::vector<StateMachine*> restarted;  // last: new targets may take over what they have proven
  for (Target& target : targets) {
    const auto [entry, fresh] = targets_.try_emplace(target.id, target, now);
    Member& member = entry->second;
    if (member.generation == generation_)
      continue;
    member.generation = generation_;
    Probe& probe = probe_for(std::move(target.probe), now);
    probe.members.push_back(&*entry);
    if (fresh) {
      take_over(probe, target, member);
    } else {
      member.machine.set_thresholds(target.thresholds);
      if (member.probe != &probe)
        restarted.push_back(&member.machine);
    }
    member.probe = &probe;
  }
  for (StateMachine* machine : restarted)
    machine->restart();
  for (auto& [spec, probe] : probes_)
    probe.former = {};
  std::erase_if(targets_, [this](const auto& entry) { return entry.second.generation != generation_; });
  drop_unwanted();
  start_waiting();
}

void Checker::drop_unwanted() {
  std::erase_if(waiting_, [](const Probe* probe) { return probe->members.empty(); });
  for (auto entry = probes_.begin(); entry != probes_.end();) {
    Probe& probe = entry->second;
    if (!probe.members.empty()) {
      ++entry;
      continue;
    }
    if (probe.stage == Stage::running) {
      prober_.cancel(probe.handle);
      --in_flight_;
      ++counters_.cancelled;
    }
    entry = probes_.erase(entry);
  }
}

void Checker::on_due(Probe& probe) {
  if (waiting_.empty() && in_flight_ < limits_.max_in_flight) {
    start(probe);
    return;
  }
  probe.stage = Stage::waiting;
  waiting_.push_back(&probe);
  ++counters_.delayed;
}

void Checker::start(Probe& probe) {
  probe.stage = Stage::running;
  ++in_flight_;
  ++counters_.started;
  // The probe outlives its run: whoever erases it cancels first.
  probe.handle = prober_.start(*probe.spec, [this, &probe](const ProbeResult& result) { on_done(probe, result); });
}

// When a reload or an outage's end frees thousands of places at once, filling them all would hold up the thread.
void Checker::start_waiting() {
  for (std::size_t begun = 0; !waiting_.empty() && in_flight_ < limits_.max_in_flight; ++begun) {
    if (begun == turn_budget) {
      timers_.arm(resume_, timers_.now());
      return;
    }
    Probe& next = *waiting_.front();
    waiting_.pop_front();
    start(next);
  }
}

// The owner is told last and from a list of our own: it may change the set of targets.
void Checker::on_done(Probe& probe, const ProbeResult& result) {
  const TimePoint now = timers_.now();
  --in_flight_;
  count(result);
  probe.stage = Stage::scheduled;
  timers_.arm(probe.due, now + probe.spec->interval);
  std::vector<std::pair<TargetId, TargetStatus>> changes;
  for (Members::value_type* member : probe.members) {
    if (record(member->second, result, now))
      changes.emplace_back(member->first, status_of(member->second));
  }
  start_waiting();
  counters_.changes += changes.size();
  for (const auto& [id, status] : changes)
    on_change_(id, status);
}

// True when the status changed.
bool Checker::record(Member& member, const ProbeResult& result, TimePoint now) {
  StateMachine& machine = member.machine;
  const bool failed_locally = machine.local_error().has_value();
  const bool changed = machine.record(result, now);
  if (failed_locally && !machine.local_error())
    ++news_.ended;
  if (!failed_locally && machine.local_error() && news_.began++ == 0)
    news_.example = describe(*member.probe->spec) + ": " + result.reason;
  if (changed)
    member.down_check = machine.status() == Status::down ? describe(*member.probe->spec) : std::string{};
  return changed;
}

LocalErrorNews Checker::take_local_error_news() {
  LocalErrorNews news = std::exchange(news_, {});
  if (!news.empty()) {
    news.now = static_cast<std::size_t>(std::ranges::count_if(
        targets_, [](const auto& entry) { return entry.second.machine.local_error().has_value(); }));
  }
  return news;
}

void Checker::count(const ProbeResult& result) {
  switch (result.outcome) {
    case ProbeOutcome::success:
      ++counters_.succeeded;
      break;
    case ProbeOutcome::failure:
      ++counters_.failed;
      break;
    case ProbeOutcome::local_error:
      ++counters_.local_errors;
      break;
  }
}

TargetStatus Checker::status_of(const Member& member) {
  const StateMachine& machine = member.machine;
  TargetStatus status{.status = machine.status(),
                      .proven = machine.proven(),
                      .since = machine.since(),
                      .successes = machine.successes(),
                      .failures = machine.failures(),
                      .local_errors = machine.local_errors(),
                      .last = std::nullopt,
                      .last_time = machine.last_time(),
                      .check = describe(*member.probe->spec),
                      .down_because = machine.down_because(),
                      .down_check = member.down_check,
                      .local_error = machine.local_error()};
  if (machine.has_result())
    status.last = machine.last_result();
  return status;
}

std::optional<TargetStatus> Checker::status(TargetId id) const {
  const auto entry = targets_.find(id);
  if (entry == targets_.end())
    return std::nullopt;
  return status_of(entry->second);
}

bool Checker::is_up(TargetId id) const {
  const auto entry = targets_.find(id);
  return entry != targets_.end() && entry->second.machine.status() == Status::up;
}

CheckerCounters Checker::counters() const {
  CheckerCounters result = counters_;
  result.probes = probes_.size();
  result.targets = targets_.size();
  result.in_flight = in_flight_;
  result.waiting = waiting_.size();
  return result;
}

}  // namespace steelyard::healthcheck

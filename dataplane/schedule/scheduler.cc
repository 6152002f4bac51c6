#include "dataplane/schedule/scheduler.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>

#include "dataplane/schedule/least_connections.h"
#include "dataplane/schedule/maglev.h"
#include "dataplane/schedule/slow_start.h"

namespace steelyard::schedule {
namespace {

// Weights of recovering servers are looked at no more often than this.
constexpr std::uint64_t min_step_interval_ns = 100'000'000;

// First word of a scratch that has been built; fresh memory is zero.
constexpr std::uint32_t built = 1;

std::uint32_t at(std::span<const service::Gauge> counts, service::BackendId id) {
  return id.value < counts.size() ? counts[id.value].get() : 0;
}

// Connections of a server as wlc sees them: one that is full has more than everybody else.
std::uint32_t load_of(const service::Server& server, const LoadView& load) {
  const std::uint32_t active = at(load.own, server.id) + at(load.others, server.id);
  return server.max_connections != 0 && active >= server.max_connections ? std::numeric_limits<std::uint32_t>::max()
                                                                         : active;
}

std::size_t policy_words(service::Scheduler kind, std::size_t servers) {
  switch (kind) {
    case service::Scheduler::wlc:
      return LeastConnections::words(servers);
    case service::Scheduler::sch:
    case service::Scheduler::tch:
    case service::Scheduler::uri:
    case service::Scheduler::header:
      return HashPlacement::words(servers);
    case service::Scheduler::wrr:
    case service::Scheduler::rr:
      break;
  }
  return WeightedRotation::words(servers);
}

// A server that is no backup, and usable.
bool has_usable_primary(const service::Listener& listener) {
  for (std::size_t index = 0; index < listener.servers.size(); ++index) {
    const service::Server& server = listener.servers[index];
    if (!server.backup && server.weight > 0 && listener.state->states[index].up.load(std::memory_order_acquire)) {
      return true;
    }
  }
  return false;
}

// Lets every `by_id` be an index, in the order of the servers' ids.
void sort_by_id(const service::Listener& listener, std::span<std::uint32_t> by_id) {
  std::iota(by_id.begin(), by_id.end(), 0U);
  const auto id = [&listener](std::uint32_t index) { return listener.servers[index].id; };
  if (!std::ranges::is_sorted(by_id, {}, id)) {
    std::ranges::sort(by_id, {}, id);
  }
}

}  // namespace

static_assert(sizeof(Scheduler) <= 1344, "workers keep one for every listener id");

// The scratch of a listener for one worker:
//   [ built | by_id: n words | weights: n words | policy: WeightedRotation, LeastConnections or HashPlacement ]
struct Scheduler::Memory {
  std::uint32_t& mark;
  std::span<std::uint32_t> by_id;    // indices of servers in the order of their ids
  std::span<std::uint32_t> weights;  // effective ones, by index
  std::span<std::uint32_t> policy;
};

std::size_t scratch_words(service::Scheduler kind, std::size_t servers) {
  return 1 + 2 * servers + policy_words(kind, servers);
}

// Inlined: of its four parts most callers want one, and a call that returns them all costs a tenth of a pick.
[[gnu::always_inline]] inline Scheduler::Memory Scheduler::memory(const service::Listener& listener) const {
  const std::size_t servers = listener.servers.size();
  const std::span<std::uint32_t> words(listener.scratch[worker_.value].get(),
                                       scratch_words(listener.scheduler, servers));
  return {words[0], words.subspan(1, servers), words.subspan(1 + servers, servers), words.subspan(1 + 2 * servers)};
}

bool Scheduler::is_built_from(const service::Listener& listener) const {
  return state_ == listener.state.get() && generation_ == listener.servers_generation &&
         worker_.value < listener.scratch.size() && scratch_ == listener.scratch[worker_.value].get() &&
         scratch_ != nullptr && *scratch_ == built;
}

bool Scheduler::is_current(const service::Listener& listener, std::uint64_t now_ns) const {
  return is_built_from(listener) && epoch_ == listener.state->epoch.load(std::memory_order_acquire) &&
         now_ns < next_step_ns_;
}

void Scheduler::take_weights(const service::Listener& listener, std::span<std::uint32_t> weights,
                             std::uint64_t now_ns) {
  std::uint64_t next_step = no_step;
  usable_ = 0;
  const bool backups_stand_by = has_usable_primary(listener);
  for (std::size_t index = 0; index < listener.servers.size(); ++index) {
    const service::ServerState& state = listener.state->states[index];
    std::uint32_t weight = listener.servers[index].weight;
    assert(weight <= max_weight);
    const bool stands_by = listener.servers[index].backup && backups_stand_by;
    if (weight > 0 && !stands_by && state.up.load(std::memory_order_acquire)) {
      ++usable_;
      if (service::by_hash(listener.scheduler)) {
        weights[index] = weight;  // a weight that grows would move clients at each of its steps
        continue;
      }
      const auto step =
          slow_start_step(weight, listener.slow_start, state.recovered_at.load(std::memory_order_acquire), now_ns);
      next_step = std::min(next_step, step.next_at_ns);
      weight = listener.scheduler == service::Scheduler::rr ? 1 : step.weight;
    } else {
      weight = 0;
    }
    weights[index] = weight;
  }
  if (listener.primary_secondary && usable_ == 2) {
    weights[1] = 0;  // stands by
    usable_ = 1;
  }
  next_step_ns_ = std::max(next_step, now_ns + min_step_interval_ns);
}

void Scheduler::rebuild(const service::Listener& listener, WorkerPhase phase, const LoadView& load,
                        std::uint64_t now_ns) {
  assert(phase.worker.value < phase.workers && phase.worker.value < listener.scratch.size());
  assert(listener.state->states.size() == listener.servers.size());
  const std::size_t servers = listener.servers.size();
  const bool same_memory = worker_ == phase.worker && is_built_from(listener);
  if (place_.cycle == 0) {
    place_.position = phase.worker.value;
    place_.cycle = phase.workers;
    place_.next_server = static_cast<std::uint32_t>(servers * phase.worker.value / phase.workers);
    for (RotationPlace::Turn& turn : place_.turns) {
      turn.next = place_.next_server;
    }
  }
  // Before the states: a change in between is seen by the next is_current().
  epoch_ = listener.state->epoch.load(std::memory_order_acquire);
  generation_ = listener.servers_generation;
  state_ = listener.state.get();
  worker_ = phase.worker;
  scratch_ = listener.scratch[phase.worker.value].get();

  const Memory words = memory(listener);
  if (!same_memory) {
    sort_by_id(listener, words.by_id);
  }
  take_weights(listener, words.weights, now_ns);
  words.mark = built;
  if (service::by_hash(listener.scheduler)) {
    HashPlacement(*listener.hash_table, words.policy).rebuild(words.weights);
    return;
  }
  if (listener.scheduler != service::Scheduler::wlc) {
    WeightedRotation(words.policy, servers, place_).rebuild(words.weights);
    return;
  }
  LeastConnections heap(words.policy, servers, usable_, picks_);
  if (!same_memory) {
    heap.forget_picks(place_.next_server);
  }
  for (std::uint32_t index = 0; index < servers; ++index) {
    heap.set_weight(index, words.weights[index]);
  }
  take_counts(listener, load);
}

void Scheduler::take_counts(const service::Listener& listener, const LoadView& load) {
  LeastConnections heap(memory(listener).policy, listener.servers.size(), usable_, picks_);
  for (std::uint32_t index = 0; index < listener.servers.size(); ++index) {
    heap.set_count(index, load_of(listener.servers[index], load));
  }
  heap.heapify();
  others_version_ = load.others_version;
}

// Apart, so that the others do not make room for what it needs.
[[gnu::noinline]] std::size_t Scheduler::pick_by_hash(const service::Listener& listener, ClientKey client) const {
  const Memory words = memory(listener);
  return HashPlacement(*listener.hash_table, words.policy).pick(words.weights, client);
}

std::optional<std::size_t> Scheduler::pick(const service::Listener& listener, const LoadView& load, ClientKey client) {
  if (usable_ == 0 || !is_built_from(listener)) {
    return std::nullopt;
  }
  if (service::by_hash(listener.scheduler)) [[unlikely]] {
    return pick_by_hash(listener, client);
  }
  const std::span<std::uint32_t> policy = memory(listener).policy;
  if (listener.scheduler != service::Scheduler::wlc) {
    return WeightedRotation(policy, listener.servers.size(), place_).pick();
  }
  if (others_version_ != load.others_version) {
    take_counts(listener, load);
  }
  const std::uint32_t server = LeastConnections(policy, listener.servers.size(), usable_, picks_).pick();
  place_.next_server = server + 1;
  return server;
}

std::span<const std::uint32_t> Scheduler::members(const service::Listener& listener) {
  const std::span<std::uint32_t> policy = memory(listener).policy;
  const std::size_t servers = listener.servers.size();
  if (service::by_hash(listener.scheduler)) {
    return HashPlacement(*listener.hash_table, policy).members();
  }
  return listener.scheduler == service::Scheduler::wlc ? LeastConnections(policy, servers, usable_, picks_).members()
                                                       : WeightedRotation(policy, servers, place_).members();
}

LeastConnections Scheduler::connections(const service::Listener& listener) {
  return {memory(listener).policy, listener.servers.size(), usable_, picks_};
}

std::size_t Scheduler::first_member(const service::Listener& listener, ClientKey client) {
  if (service::by_hash(listener.scheduler)) {
    return HashPlacement(*listener.hash_table, memory(listener).policy).first_member(client);
  }
  return listener.scheduler == service::Scheduler::wlc ? 0 : place_.last;
}

std::optional<std::size_t> Scheduler::pick_other(const service::Listener& listener,
                                                 std::span<const std::size_t> excluded, ClientKey client) {
  if (usable_ == 0 || !is_built_from(listener)) {
    return std::nullopt;
  }
  if (service::by_hash(listener.scheduler)) {
    const Memory words = memory(listener);
    return HashPlacement(*listener.hash_table, words.policy).pick_other(words.weights, client, excluded);
  }
  const std::span<const std::uint32_t> candidates = members(listener);
  // Members are distinct, so that one of any excluded.size() + 1 is not excluded.
  const std::size_t tries = std::min(candidates.size(), excluded.size() + 1);
  std::size_t position = first_member(listener, client);
  for (std::size_t tried = 0; tried < tries; ++tried) {
    position = position < candidates.size() ? position : 0;
    const std::size_t server = candidates[position++];
    if (std::ranges::find(excluded, server) == excluded.end()) {
      return server;
    }
  }
  return std::nullopt;
}

void Scheduler::load_changed(const service::Listener& listener, service::BackendId server, const LoadView& load) {
  if (listener.scheduler != service::Scheduler::wlc) {
    return;
  }
  if (const auto index = find(listener, server)) {
    LeastConnections(memory(listener).policy, listener.servers.size(), usable_, picks_)
        .change_count(static_cast<std::uint32_t>(*index), load_of(listener.servers[*index], load));
  }
}

std::optional<std::size_t> Scheduler::find(const service::Listener& listener, service::BackendId server) const {
  if (!is_built_from(listener)) {
    return std::nullopt;
  }
  const auto by_id = memory(listener).by_id;
  const auto id = [&listener](std::uint32_t index) { return listener.servers[index].id; };
  const auto found = std::ranges::lower_bound(by_id, server, {}, id);
  if (found == by_id.end() || id(*found) != server) {
    return std::nullopt;
  }
  return *found;
}

std::uint32_t Scheduler::effective_weight(const service::Listener& listener, std::size_t index) const {
  return is_built_from(listener) ? memory(listener).weights[index] : 0;
}

}  // namespace steelyard::schedule

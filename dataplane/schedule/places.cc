#include "dataplane/schedule/places.h"

#include <algorithm>
#include <limits>

#include "dataplane/schedule/least_connections.h"
#include "dataplane/schedule/scheduler.h"

namespace steelyard::schedule {
namespace {

// Turns that full servers may lose to others at one pick: with all but a 128th of the weight at full servers the next
// one comes by its turn, and so by its weight. Two microseconds at most.
constexpr unsigned turns_in_a_rotation = 128;
constexpr unsigned turns_by_hash = 8;
// Fewer servers are searched whenever it is asked: below 0.2 microseconds. More (10,000: 30 microseconds) once a
// millisecond, or a flood of connections that hardly anybody has room for would keep the worker busy with nothing else.
constexpr std::size_t many = 64;
constexpr std::uint64_t search_interval_ns = 1'000'000;
constexpr std::uint32_t nowhere = std::numeric_limits<std::uint32_t>::max();

unsigned turns_of(service::Scheduler kind) {
  if (service::by_hash(kind)) {
    return turns_by_hash;
  }
  return kind == service::Scheduler::wlc ? 1 : turns_in_a_rotation;  // the heap's first stays its first
}

}  // namespace

// wlc: the least loaded one that fits. Full ones are at the end of the heap's order, so that this is for permits that
// are elsewhere.
template <class Fits>
std::optional<std::size_t> Scheduler::least_loaded(const service::Listener& listener, const Fits& fits) {
  LeastConnections heap = connections(listener);
  std::optional<std::uint32_t> least;
  for (const std::uint32_t server : heap.members()) {
    if ((!least || heap.before(server, *least)) && fits(server)) {
      least = server;
    }
  }
  if (least) {
    heap.take(*least);
  }
  return least;
}

Scheduler::Choice Scheduler::pick_with_room(const service::Listener& listener, const LoadView& load,
                                            const PlaceView& places, Need need, ClientKey client,
                                            std::uint64_t now_ns) {
  Choice choice;
  const auto fits = [&](std::size_t index) {
    const service::Server& server = listener.servers[index];
    const bool full = places.is_full(server);
    if (need == Need::permit ? places.has_permit(server) : !full) {
      return true;
    }
    if (!full && !choice.missing) {
      choice.missing = index;
    }
    return false;
  };
  const auto first = pick(listener, load, client);
  choice.any_usable = first.has_value();
  if (!first || fits(*first)) {
    choice.server = first;
    return choice;
  }
  if (places.is_full(listener.servers[*first])) {
    choice.turned_away = first;
  }
  const std::span<const std::uint32_t> candidates = members(listener);
  if (candidates.size() >= many && now_ns < next_search_ns_) {
    // What was found last is true for as long.
    if (found_ < listener.servers.size() && effective_weight(listener, found_) > 0 && fits(found_)) {
      choice.server = found_;
    } else if (!choice.missing && missing_ < listener.servers.size() && !places.is_full(listener.servers[missing_])) {
      choice.missing = missing_;
    }
    return choice;
  }
  const auto search = [&]() -> std::optional<std::size_t> {
    if (listener.scheduler == service::Scheduler::wlc) {
      return least_loaded(listener, fits);
    }
    const auto begin = candidates.begin() + static_cast<std::ptrdiff_t>(first_member(listener, client));
    const auto found = std::find_if(begin, candidates.end(), fits);
    const auto wrapped = found != candidates.end() ? found : std::find_if(candidates.begin(), begin, fits);
    return found != candidates.end() || wrapped != begin ? std::optional<std::size_t>(*wrapped) : std::nullopt;
  };
  // Few are looked through first: when all are full, nobody's turn needs to be waited for.
  if (candidates.size() < many) {
    choice.server = search();
    if (!choice.server) {
      return choice;
    }
  }
  for (unsigned turn = 1; turn < turns_of(listener.scheduler); ++turn) {
    client = next_key(client);
    if (const auto next = pick(listener, load, client); fits(*next)) {
      choice.server = next;
      return choice;
    }
  }
  if (candidates.size() >= many) {
    choice.server = search();
    next_search_ns_ = now_ns + search_interval_ns;
    found_ = static_cast<std::uint32_t>(choice.server.value_or(nowhere));
    missing_ = static_cast<std::uint32_t>(choice.missing.value_or(nowhere));
  }
  return choice;
}

}  // namespace steelyard::schedule

// Which server of a listener gets the next connection: the run-time half of wrr, wlc, rr, sch and tch on one worker. A
// worker owns one `Scheduler` per listener id and keeps it over snapshot swaps; what grows with the number of servers
// lies in the listener's scratch memory for that worker. Nothing here allocates, locks, reads a clock or looks at
// another worker; a pick never costs more than O(log n) (by hash: maglev.h), a rebuild is one pass over the servers.
// Read first: service/snapshot.h (Listener, ListenerState), then weighted_rotation.h, least_connections.h and maglev.h.
//
//   if (!scheduler.is_current(listener, now)) {
//     scheduler.rebuild(listener, phase, load, now);
//   }
//   if (const auto server = scheduler.pick(listener, load)) { ... }
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/schedule/maglev.h"
#include "dataplane/schedule/places.h"
#include "dataplane/schedule/weighted_rotation.h"
#include "dataplane/service/counter.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::schedule {

class LeastConnections;

// How many 32-bit words of scratch a worker needs for a listener of that many servers. They must be zero at first
// (`std::make_unique<std::uint32_t[]>` does that) and are not touched by anybody else.
[[nodiscard]] std::size_t scratch_words(service::Scheduler kind, std::size_t servers);

// Which of how many workers this is: decides where in its cycle a fresh scheduler starts, so that the workers together
// are as smooth as one. `workers` >= 1, `worker` < `workers`.
struct WorkerPhase {
  service::WorkerId worker;
  std::uint16_t workers = 1;
};

// Open connections by BackendId::value, as wlc needs them; an id beyond the end of a span counts as 0. Control may
// store new sums into `others` while a call that takes the view runs; a count is read once per use. Only wlc
// looks at it.
struct LoadView {
  std::span<const service::Gauge> own;     // this worker's live counters
  std::span<const service::Gauge> others;  // the sum over all other workers, at most 10 ms old
  // Changes whenever `others` does: pick() then takes the new counts over, in O(n).
  std::uint64_t others_version = 0;
};

// One listener on one worker. Worker thread only. Copyable, 1.3 KiB, of which a pick touches two or three
// cache lines. Default-constructed it knows no listener; all members are zero then, so that zeroed memory will do.
class Scheduler {
 public:
  // Whether the last rebuild still tells the truth: same servers, same scratch, no state changed, no slow start step
  // due. `now_ns` is the clock of ServerState::recovered_at. Costs two cache lines.
  [[nodiscard]] bool is_current(const service::Listener& listener, std::uint64_t now_ns) const;

  // Takes over the servers of `listener`, their health and weights, and its scratch for phase.worker. Positions
  // survive: the progress of each weight class of wrr and rr and whose turn it is in it; wlc's order of equals, exactly
  // while the scratch is the same one, else from the server after the last picked one. By hash there is nothing to
  // remember. O(n); n log n when BackendIds are not in ascending order.
  void rebuild(const service::Listener& listener, WorkerPhase phase, const LoadView& load, std::uint64_t now_ns);

  // The index into listener.servers that the next connection goes to; nullopt when no server is usable (up, and with a
  // weight). The caller has made sure of is_current(). wlc: tell load_changed() once the connection is counted. Only
  // sch and tch look at `client`; the same client gets the same server of them as long as no server changes.
  [[nodiscard]] std::optional<std::size_t> pick(const service::Listener& listener, const LoadView& load,
                                                ClientKey client = {});

  // places.cc. pick() for a listener that is `limited`: of the usable servers the first in the scheduler's order that
  // has what is needed. What a search among 64 servers or more has found is taken for true for a millisecond.
  struct Choice {
    std::optional<std::size_t> server;
    std::optional<std::size_t> turned_away;  // whose turn it was, had it had room
    std::optional<std::size_t> missing;      // has room, and its permit is elsewhere; the first one that was met
    bool any_usable = false;
  };
  [[nodiscard]] Choice pick_with_room(const service::Listener& listener, const LoadView& load, const PlaceView& places,
                                      Need need, ClientKey client, std::uint64_t now_ns);

  // A usable server which is not among `excluded`, without moving the position; nullopt when there is none. For the
  // rare connection that cannot have the server that pick() gave. Tries at most excluded.size() + 1 servers, so the
  // caller bounds the cost by bounding its list. wlc: a lightly loaded one, not always the least loaded one. sch
  // and tch: always the same one for the client, after 8 picks at most.
  [[nodiscard]] std::optional<std::size_t> pick_other(const service::Listener& listener,
                                                      std::span<const std::size_t> excluded, ClientKey client = {});

  // wlc: the own (or others') count of a server is another than before; O(log n). Idempotent, as the count is read from
  // `load`. A server that is not (or no more) in the listener, or a listener that this was not built from, is ignored:
  // the next rebuild starts from the counters. All others: does nothing.
  void load_changed(const service::Listener& listener, service::BackendId server, const LoadView& load);

  // The index into listener.servers of a server by its id, for persistence; nullopt when it is not in the listener or
  // the scheduler was not built from this listener. O(log n).
  [[nodiscard]] std::optional<std::size_t> find(const service::Listener& listener, service::BackendId server) const;

  // The weight that the server had at the last rebuild, slow start included; 0: takes no new connections, be it down,
  // without a weight, or a secondary or a backup that stands by.
  [[nodiscard]] std::uint32_t effective_weight(const service::Listener& listener, std::size_t index) const;

 private:
  struct Memory;

  [[nodiscard]] bool is_built_from(const service::Listener& listener) const;
  [[nodiscard]] Memory memory(const service::Listener& listener) const;
  // The usable servers in the scheduler's order, and the place in it that a search for another one begins at.
  [[nodiscard]] std::span<const std::uint32_t> members(const service::Listener& listener);
  [[nodiscard]] LeastConnections connections(const service::Listener& listener);
  template <class Fits>
  [[nodiscard]] std::optional<std::size_t> least_loaded(const service::Listener& listener, const Fits& fits);
  [[nodiscard]] std::size_t first_member(const service::Listener& listener, ClientKey client);
  [[nodiscard]] std::size_t pick_by_hash(const service::Listener& listener, ClientKey client) const;
  void take_weights(const service::Listener& listener, std::span<std::uint32_t> weights, std::uint64_t now_ns);
  void take_counts(const service::Listener& listener, const LoadView& load);

  std::uint64_t generation_ = 0;
  const service::ListenerState* state_ = nullptr;  // compared only
  const std::uint32_t* scratch_ = nullptr;         // compared only
  std::uint64_t next_step_ns_ = 0;                 // when a slow start step is due; max: none is running
  std::uint64_t others_version_ = 0;
  std::uint64_t next_search_ns_ = 0;  // among many servers for one with room
  std::uint32_t found_ = 0;           // by the last search; none: no server's index
  std::uint32_t missing_ = 0;         // and what it met that lacks a permit
  std::uint32_t epoch_ = 0;
  std::uint32_t usable_ = 0;  // number of servers with an effective weight
  std::uint32_t picks_ = 0;   // wlc: the sequence number of the last pick
  service::WorkerId worker_;
  RotationPlace place_;
};

}  // namespace steelyard::schedule

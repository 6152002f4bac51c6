// Limits of connections that workers keep together without waiting for each other. A server's limit is a number of
// permits; control leases them to workers, and a worker opens a connection only while it has fewer than permits. So
// whatever workers do at the same time, the limit is kept as long as
//
//   sum over workers of max(permits, connections) <= limit
//
// Giving more to a worker is one store. Taking back is a store, too, but the worker may be about to use what it has
// read: until it has passed a quiescent state (RCU) it counts as having what it had. After that nobody can open by the
// old number, and what its connections leave free is given to others. No worker answers, waits or writes for it.
//
// Permits lie where connections are expected: what is free is divided evenly, and moved when a worker has run out of it
// (it has missed one, or has none while others have several). Taking and giving are two rounds of control, 10 ms.
//
// Connections that were not asked for count: those that a limit found when it came, or that were adopted
// (l4/adoption.cc). Above the limit nobody gets a new one until enough of them have ended.
//
// Control thread. Pure: what grace periods are, it is told.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "dataplane/l4/counters.h"
#include "dataplane/service/counter.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/stable_array.h"

namespace steelyard::worker {

struct ConnectionLimit {
  service::BackendId backend;
  std::uint32_t most = 0;  // above 0
};

class PermitLedger {
 public:
  // One worker's cells, by BackendId; `permits` is written here, the others by the worker.
  struct Cells {
    service::StableArray<service::Gauge>* permits = nullptr;
    const service::StableArray<service::Gauge>* connections = nullptr;
    const service::StableArray<l4::BackendCounters>* counters = nullptr;
  };
  // What workers may know: begin() names this moment, and passed() says whether every worker has looked at its cells
  // anew since.
  struct Grace {
    std::function<std::uint64_t()> begin;
    std::function<bool(std::uint64_t)> passed;
  };

  // 1..64 workers.
  PermitLedger(std::vector<Cells> workers, Grace grace) : workers_(std::move(workers)), grace_(std::move(grace)) {}

  // The limits of a configuration, in ascending order of ids, before it is published. A server that had no limit so far
  // gets no connection until workers know that it has one, since they may be opening some without.
  void set_limits(std::span<const ConnectionLimit> limits);
  // When workers can see that configuration.
  void published();

  // One round, every 10 ms or sooner: a few loads for each limit and worker.
  void balance();

  [[nodiscard]] std::size_t limits() const { return entries_.size(); }

 private:
  struct Entry {
    ConnectionLimit limit;
    bool is_new = true;                 // or lower; not yet published
    std::uint64_t grace = 0;            // a worker may have more than its cell says, until this is over; 0: none
    std::uint64_t needy = 0;            // workers that have missed a permit and have got none since, one bit each
    std::vector<std::uint32_t> missed;  // each worker's count of them, as last seen
  };
  // One server's books in a round.
  struct Books {
    std::vector<std::uint32_t> connections;
    std::vector<std::uint32_t> permits;
    std::vector<std::uint32_t> free;  // permits without a connection
    std::uint64_t committed = 0;      // the sum of the larger ones
    std::uint64_t connected = 0;
    std::uint64_t all_free = 0;
  };

  void lower(Entry& entry, std::uint32_t most);
  void read(Entry& entry);
  [[nodiscard]] bool cut(const Entry& entry);
  void give(Entry& entry, std::uint64_t spare);
  [[nodiscard]] bool take_for_needy(const Entry& entry);
  void set(const Entry& entry, std::size_t worker, std::uint32_t permits);

  std::vector<Cells> workers_;
  Grace grace_;
  std::vector<Entry> entries_;  // in the order of ids
  Books books_;
};

}  // namespace steelyard::worker

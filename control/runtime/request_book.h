// How the requests of http listeners and of their servers have ended, and how long they took. As with refusals
// (refusals.h) the workers' counters of an id only grow, and the book remembers where each owner of an id began.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include "control/runtime/builder.h"
#include "dataplane/worker/dataplane.h"
#include "dataplane/worker/request_tables.h"

namespace steelyard::control {

// http::Durations over all workers.
struct RequestTimes {
  std::array<std::uint64_t, http::Durations::buckets> counts{};
  std::uint64_t sum_us = 0;

  [[nodiscard]] std::uint64_t total() const;
  // Microseconds below which the fraction `part` of all lie, between the limits of a bucket by proportion; 0: there are
  // none.
  [[nodiscard]] double quantile(double part) const;
};

struct ListenerRequests {
  std::array<std::uint64_t, http::status_classes.size()> by_class{};
  std::array<std::uint64_t, http::cause_count> by_cause{};
  std::array<RequestTimes, http::timed_parts.size()> times{};
};

struct ServerRequests {
  std::array<std::uint64_t, http::status_classes.size()> by_class{};
  RequestTimes first_octet;
};

// Control thread. Without layer 7 everything is 0.
class RequestBook {
 public:
  // `id` belongs to `owner` from now on; a former owner that is back goes on where it stopped.
  void open(const worker::Dataplane& dataplane, service::ListenerId id, const ListenerKey& owner);
  void open(const worker::Dataplane& dataplane, service::BackendId id, const BackendKey& owner);
  [[nodiscard]] ListenerRequests read(const worker::Dataplane& dataplane, service::ListenerId id) const;
  [[nodiscard]] ServerRequests read(const worker::Dataplane& dataplane, service::BackendId id) const;

 private:
  template <class Owner, class Counted>
  struct Page {
    Owner owner;
    Counted before;  // the counters when the owner came
  };
  std::unordered_map<std::uint16_t, Page<ListenerKey, ListenerRequests>> listeners_;
  std::unordered_map<std::uint32_t, Page<BackendKey, ServerRequests>> servers_;
};

}  // namespace steelyard::control

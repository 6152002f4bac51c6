// Clients of http listeners that have more to be sent than their listener's `bandwidth` allows: in turn, for each
// listener. The links lie in one table by connections' numbers, so that one that ends leaves the queue at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/service/ids.h"

namespace steelyard::worker {

// Worker only. Nothing allocates after it is made.
class WaitingClients {
 public:
  // Connections are below `connections`, listeners' ids below `listeners`.
  WaitingClients(std::size_t connections, std::size_t listeners, std::pmr::memory_resource* resource)
      : links_(connections, resource), queues_(listeners, resource), places_(resource) {
    places_.reserve(listeners);
  }
  [[nodiscard]] static std::size_t memory_needed(std::size_t connections) { return connections * sizeof(Link); }

  // To the end of the listener's queue; one that waits already keeps its place.
  void add(std::uint32_t connection, service::ListenerId listener) {
    Link& link = links_[connection];
    if (link.waits) {
      return;
    }
    Queue& queue = queues_[listener.value];
    link = {.previous = queue.last, .next = none, .listener = listener, .waits = true};
    (queue.last == none ? queue.first : links_[queue.last].next) = connection;
    queue.last = connection;
    if (!queue.listed) {
      queue.listed = true;
      places_.push_back(listener);
    }
  }
  void remove(std::uint32_t connection) {
    if (places_.empty()) {
      return;  // as mostly: without a look at a line of memory that nobody else needs
    }
    Link& link = links_[connection];
    if (!link.waits) {
      return;
    }
    Queue& queue = queues_[link.listener.value];
    (link.previous == none ? queue.first : links_[link.previous].next) = link.next;
    (link.next == none ? queue.last : links_[link.next].previous) = link.previous;
    link = {};
  }

  // Calls visit(listener, next) for each listener that somebody waits at. `next()` takes the first of them out of its
  // queue; nothing when nobody is left.
  template <class Visit>
  void visit(Visit&& visit) {
    for (std::size_t place = 0; place < places_.size();) {
      const service::ListenerId listener = places_[place];
      visit(listener, [&] { return take_first(listener); });
      if (queues_[listener.value].first != none) {
        ++place;
        continue;
      }
      queues_[listener.value].listed = false;
      places_[place] = places_.back();
      places_.pop_back();
    }
  }

 private:
  static constexpr std::uint32_t none = 0xffffffffU;
  struct Link {
    std::uint32_t previous = none;
    std::uint32_t next = none;
    service::ListenerId listener;
    bool waits = false;
  };
  struct Queue {
    std::uint32_t first = none;
    std::uint32_t last = none;
    bool listed = false;  // in places_
  };

  std::optional<std::uint32_t> take_first(service::ListenerId listener) {
    const std::uint32_t first = queues_[listener.value].first;
    if (first == none) {
      return std::nullopt;
    }
    remove(first);
    return first;
  }

  std::pmr::vector<Link> links_;
  std::pmr::vector<Queue> queues_;  // by ListenerId
  std::pmr::vector<service::ListenerId> places_;
};

}  // namespace steelyard::worker

#include "dataplane/schedule/least_connections.h"

#include <limits>

namespace steelyard::schedule {

std::size_t LeastConnections::words(std::size_t servers) {
  return (record_words + 1) * servers;
}

LeastConnections::LeastConnections(std::span<std::uint32_t> memory, std::size_t servers, std::uint32_t& usable,
                                   std::uint32_t& picks)
    : servers_(static_cast<std::uint32_t>(servers)),
      records_(memory.first(record_words * servers)),
      heap_(memory.subspan(record_words * servers, servers)),
      usable_(usable),
      picks_(picks) {}

void LeastConnections::forget_picks(std::uint32_t first) {
  const std::uint32_t offset = first < servers_ ? first : 0;
  for (std::uint32_t server = 0; server < servers_; ++server) {
    picked(server) = server >= offset ? server - offset : server + servers_ - offset;
  }
  picks_ = servers_;
}

void LeastConnections::heapify() {
  usable_ = 0;
  for (std::uint32_t server = 0; server < servers_; ++server) {
    if (weight(server) > 0) {
      place(usable_++, server);
    }
  }
  for (std::uint32_t position = usable_ / 2; position-- > 0;) {
    sift_down(position);
  }
}

std::uint32_t LeastConnections::pick() {
  const std::uint32_t server = heap_[0];
  take(server);
  return server;
}

void LeastConnections::take(std::uint32_t taken) {
  if (picks_ == std::numeric_limits<std::uint32_t>::max()) {
    // Once in 2^32 picks the order of equals starts anew behind this server; the numbers stay comparable.
    forget_picks(taken + 1);
    heapify();
    return;
  }
  picked(taken) = ++picks_;
  sift_down(slot(taken));
}

void LeastConnections::change_count(std::uint32_t server, std::uint32_t active) {
  const std::uint32_t before_change = count(server);
  count(server) = active;
  if (weight(server) == 0) {
    return;
  }
  if (active < before_change) {
    sift_up(slot(server));
  } else {
    sift_down(slot(server));
  }
}

bool LeastConnections::before(std::uint32_t left, std::uint32_t right) const {
  const std::uint64_t left_cost = (std::uint64_t{count(left)} + 1) * weight(right);
  const std::uint64_t right_cost = (std::uint64_t{count(right)} + 1) * weight(left);
  if (left_cost != right_cost) {
    return left_cost < right_cost;
  }
  if (picked(left) != picked(right)) {
    return picked(left) < picked(right);
  }
  return left < right;
}

void LeastConnections::place(std::uint32_t position, std::uint32_t server) {
  heap_[position] = server;
  slot(server) = position;
}

void LeastConnections::sift_down(std::uint32_t position) {
  const std::uint32_t server = heap_[position];
  for (;;) {
    std::uint32_t child = 2 * position + 1;
    if (child >= usable_) {
      break;
    }
    if (child + 1 < usable_ && before(heap_[child + 1], heap_[child])) {
      ++child;
    }
    if (!before(heap_[child], server)) {
      break;
    }
    place(position, heap_[child]);
    position = child;
  }
  place(position, server);
}

void LeastConnections::sift_up(std::uint32_t position) {
  const std::uint32_t server = heap_[position];
  while (position > 0) {
    const std::uint32_t parent = (position - 1) / 2;
    if (!before(server, heap_[parent])) {
      break;
    }
    place(position, heap_[parent]);
    position = parent;
  }
  place(position, server);
}

}  // namespace steelyard::schedule

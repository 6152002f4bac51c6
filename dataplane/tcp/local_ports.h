// Local ports for the connections that a worker opens from one address: O(1), a released port waits long before it is
// used again, and nobody who sees some can tell the next (RFC 6056). All ports stand in a ring in an order drawn from a
// secret; a released one goes to its end and changes places there with a drawn one, so that the order never repeats.
// Worker only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/tcp/siphash.h"

namespace steelyard::tcp {

class LocalPorts {
 public:
  // Every `step`-th port from `first` to `last`, both included: workers share an address by taking turns.
  LocalPorts(std::uint16_t first, std::uint16_t last, const SipKey& secret, std::uint16_t step = 1) : secret_(secret) {
    for (unsigned port = first; port <= last; port += step) {
      ring_.push_back(static_cast<std::uint16_t>(port));
    }
    for (std::size_t place = ring_.size(); place > 1; --place) {
      std::swap(ring_[place - 1], ring_[draw(place)]);
    }
    free_ = ring_.size();
  }

  [[nodiscard]] std::size_t available() const { return free_; }

  // The one that has been free for longest; nothing when all are in use.
  [[nodiscard]] std::optional<std::uint16_t> allocate() {
    if (free_ == 0) {
      return std::nullopt;
    }
    const std::uint16_t port = ring_[head_];
    head_ = (head_ + 1) % ring_.size();
    --free_;
    return port;
  }

  // Of one that was allocated.
  void release(std::uint16_t port) {
    std::uint16_t& last = ring_[(head_ + free_) % ring_.size()];
    last = port;
    ++free_;
    // The last quarter of those that wait: none comes back soon.
    const std::size_t places = free_ / 4 + 1;
    std::swap(last, ring_[(head_ + free_ - 1 - draw(places)) % ring_.size()]);
  }

 private:
  [[nodiscard]] std::size_t draw(std::size_t below) {
    ++drawn_;
    return static_cast<std::size_t>(siphash(secret_, std::span{&drawn_, 1})) % below;
  }

  SipKey secret_;
  std::uint64_t drawn_ = 0;
  std::vector<std::uint16_t> ring_;
  std::size_t head_ = 0;  // the first free one
  std::size_t free_ = 0;
};

}  // namespace steelyard::tcp

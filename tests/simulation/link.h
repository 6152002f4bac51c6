// A link of two directions between two hosts: delay, rate with a queue, loss, reordering, duplication, corruption, and
// a router in its middle that reports what is too long for it. Packets are bytes from the TCP header on.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tests/simulation/plan.h"
#include "tests/simulation/random.h"

namespace steelyard::simulation {

struct Packet {
  enum class Kind : std::uint8_t { segment, path_mtu };
  Kind kind = Kind::segment;
  std::uint8_t to = 0;
  std::uint32_t mtu = 0;  // kind path_mtu: what fits; `bytes` is what it quotes
  std::vector<std::uint8_t> bytes;
};

// What the link has done to one packet, for reports.
enum class Fate : std::uint8_t { sent, lost, corrupted, overflowed, too_long };

class Link {
 public:
  // `headers`: of IP, which count for the rate and for the MTU.
  Link(const LinkPlan& plan, std::uint32_t headers, Random& random) : plan_(plan), headers_(headers), random_(random) {}

  // Takes a packet in at `now`; calls `tell(Fate)` for it and, if it is duplicated, for its copy.
  template <class Tell>
  void send(std::uint8_t to, std::vector<std::uint8_t> bytes, Time now, Tell&& tell) {
    if (random_.happens(plan_.duplication)) {
      tell(send_one(to, bytes, now));
    }
    tell(send_one(to, std::move(bytes), now));
  }

  // When the next packet arrives; `never` when none is under way.
  [[nodiscard]] Time next() const { return heap_.empty() ? tcp::never : heap_.front().at; }
  [[nodiscard]] Packet take();

 private:
  struct Arrival {
    Time at;
    std::uint64_t order;  // packets of the same moment stay in order
    std::uint32_t slot;
    // For a heap whose front is the earliest.
    friend bool operator<(const Arrival& left, const Arrival& right) {
      return left.at != right.at ? left.at > right.at : left.order > right.order;
    }
  };

  [[nodiscard]] Fate send_one(std::uint8_t to, std::vector<std::uint8_t> bytes, Time now);
  void add(Packet packet, Time at);

  LinkPlan plan_;
  std::uint32_t headers_;
  Random& random_;
  std::vector<Arrival> heap_;
  std::vector<Packet> packets_;
  std::vector<std::uint32_t> free_;
  std::uint64_t order_ = 0;
  std::array<Time, 2> busy_until_{};
};

}  // namespace steelyard::simulation

// How short of buffers a worker is, and what its connections may do then. Told by whoever knows how many buffers are
// held (worker/tcp_host.h), asked by every connection.
//
// What has been promised cannot be taken back: a window's right edge never moves to the left. So a connection may leave
// so much unread as its share is, and the share falls as the free buffers do and as those who hold some become more
// (the dynamic thresholds of switches: Choudhury and Hahne, 1998). Beyond its share its window stops to move, and what
// its peer was promised before and sends now is treated as lost: the peer repeats it. Who reads what he gets holds
// nothing, and goes on as if nothing were.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace steelyard::tcp {

class Pressure {
 public:
  // Of `most` buffers that may be held `held` are.
  void update(std::uint64_t held, std::uint64_t most) {
    const std::uint64_t free = most - std::min(held, most);
    ample_ = free * 4 >= most * 3;
    tight_ = free * 20 <= most * 3;
    scarce_ = free * 10 <= most;
    full_ = free == 0;
    // A few segments for everybody, as long as there are some, so that who reads has a window that is worth it.
    const std::uint64_t least = full_ ? 0 : scarce_ ? 1 : free * 4 <= most ? 2 : 4;
    const std::uint64_t share = std::max(free / (holders_ + least_holders), least) * payload;
    share_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(share, std::numeric_limits<std::uint32_t>::max()));
  }

  // Octets that a connection may make us hold.
  [[nodiscard]] std::uint32_t share() const { return share_; }
  // Who sends may have much ready for it.
  [[nodiscard]] bool ample() const { return ample_; }
  // Who has not read for seconds must go, the largest holder first: nobody knows whether he ever will, and others shall
  // come in.
  [[nodiscard]] bool tight() const { return tight_; }
  // No new connections.
  [[nodiscard]] bool scarce() const { return scarce_; }
  // Nothing is left: the largest holder must go.
  [[nodiscard]] bool full() const { return full_; }

  // Connections with unread payload.
  void begins_to_hold() { ++holders_; }
  void holds_nothing() { --holders_; }
  [[nodiscard]] std::uint32_t holders() const { return holders_; }
  // A segment's payload was not taken.
  void count_refused() { ++refused_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  static constexpr std::uint64_t payload = 1'448;     // of a full segment: what a buffer usually holds
  static constexpr std::uint64_t least_holders = 32;  // one alone may have a thirty-second of it

  std::uint64_t refused_ = 0;
  std::uint32_t share_ = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t holders_ = 0;
  bool ample_ = true;
  bool tight_ = false;
  bool scarce_ = false;
  bool full_ = false;
};

}  // namespace steelyard::tcp

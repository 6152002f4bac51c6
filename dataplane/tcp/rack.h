// Loss detection by time (RFC 8985, RACK): what was sent a reordering window before something that has arrived, and has
// not arrived itself, is lost. Needs SACK; without it the sender counts duplicate acknowledgments. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/round_trip.h"
#include "dataplane/tcp/send_queue.h"

namespace steelyard::tcp {

class Rack {
 public:
  // `first` is the connection's first sequence number.
  void begin(Sequence first) { end_ = forward_ = round_end_ = first; }

  [[nodiscard]] Duration least_round_trip() const { return Duration{least_}; }
  [[nodiscard]] bool reordering_seen() const { return reordering_seen_; }
  [[nodiscard]] unsigned window_multiplier() const { return multiplier_; }

  // A sample of the round trip, for the minimum that the reordering window is a quarter of.
  void sample(Duration round_trip, Time now);

  // An acknowledgment begins: of what it brings, what was sent last gives the round trip.
  void begin_acknowledgment() { nothing_delivered_ = true; }
  // A node has been acknowledged or sacked for the first time (section 6.2, steps 2 and 3). In the order of sequence
  // numbers within an acknowledgment. `echo_is_older`: the timestamp echoed is older than the node's last transmission.
  void delivered(const Node& node, Time now, bool echo_is_older);

  // A D-SACK has come (section 6.2, step 4): the window was too short. Once a round trip.
  void duplicate_reported(Sequence una, Sequence next);
  // Recovery has ended.
  void recovered();

  // How long to wait for what may only be late.
  [[nodiscard]] Duration reordering_window(const RoundTrip& trip, bool in_recovery, bool three_sacked) const;

  // Marks what is lost (section 6.2, step 5). Returns how long to wait until more may be, if something waits.
  [[nodiscard]] std::optional<Duration> detect(Memory& memory, SendQueue& queue, Duration window, Time now) const;

  // Before a retransmission timeout's losses are repaired (section 6.3): the first node, and what is late by now.
  void mark_timed_out(Memory& memory, SendQueue& queue, Duration window, Time now) const;

 private:
  [[nodiscard]] bool sent_before_delivered(const Node& node) const {
    return delivered_at_ > node.sent_at || (delivered_at_ == node.sent_at && packet::after(end_, node.end()));
  }

  Time delivered_at_{};           // RACK.xmit_ts: when the latest of those that have arrived was sent
  Time least_at_{};               // when least_ was measured
  std::uint32_t round_trip_ = 0;  // RACK.rtt, microseconds
  std::uint32_t least_ = 0;       // RACK.min_RTT, microseconds; 0: none
  Sequence end_;                  // RACK.end_seq
  Sequence forward_;              // RACK.fack
  Sequence round_end_;            // RACK.dsack_round, when in_round_
  std::uint8_t multiplier_ = 1;   // RACK.reo_wnd_mult
  std::uint8_t persist_ = 0;      // RACK.reo_wnd_persist
  bool reordering_seen_ : 1 = false;
  bool in_round_ : 1 = false;
  bool nothing_delivered_ : 1 = true;  // by this acknowledgment
};
static_assert(sizeof(Rack) == 40);

}  // namespace steelyard::tcp

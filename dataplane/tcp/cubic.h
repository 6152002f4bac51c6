// The congestion window: slow start and its restart after idleness (RFC 5681, RFC 6928), CUBIC (RFC 9438). Octets in,
// octets out; who decides that something is lost is recovery's business. Worker only; pure.
#pragma once

#include <cstdint>

#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

// RFC 6928 section 2.
[[nodiscard]] constexpr std::uint32_t initial_window(std::uint32_t segment) {
  const std::uint32_t least = 2 * segment > 14'600 ? 2 * segment : 14'600;
  return 10 * segment < least ? 10 * segment : least;
}

class Cubic {
 public:
  [[nodiscard]] std::uint32_t window() const { return window_; }
  [[nodiscard]] std::uint32_t threshold() const { return threshold_; }
  [[nodiscard]] bool in_slow_start() const { return window_ < threshold_; }

  // `segment` is the payload of a full segment.
  void begin(std::uint32_t segment) { window_ = initial_window(segment); }

  // RFC 5681 section 3.1: the SYN or SYN-ACK was lost, so one segment; RFC 6928 section 2: not for a single repetition,
  // which may have been too early.
  void begin_after_lost_syn(std::uint32_t segment) { window_ = segment; }

  // `octets` have been newly delivered while the window was what limited the sender.
  void acknowledged(std::uint32_t octets, std::uint32_t segment, Duration round_trip, Time now);

  // Loss found by acknowledgments: the threshold falls (RFC 9438 section 4.6, with fast convergence, section 4.7); the
  // window itself is lead down by proportional rate reduction. A window that was not
  // full is taken by what was in flight.
  void lost(std::uint32_t in_flight, std::uint32_t segment);
  // Retransmission timeout (RFC 5681 section 3.1, RFC 9438 section 4.8): one segment. `repeated` when the same data
  // time out again: then the threshold stays.
  void timed_out(std::uint32_t in_flight, std::uint32_t segment, bool repeated);

  // RFC 5681 section 4.1: nothing was sent for more than a timeout.
  void restart_after_idle(std::uint32_t segment);

  // What a response to losses changes, and what takes it back (RFC 9438 section 4.9.2). A window that has grown beyond
  // the saved one stays; a new epoch begins.
  struct Saved {
    std::uint32_t window = 0;
    std::uint32_t threshold = 0;
    float before_loss = 0;
    float prior = 0;
  };
  [[nodiscard]] Saved saved() const { return {window_, threshold_, before_loss_, prior_}; }
  void restore(const Saved& saved) {
    window_ = window_ > saved.window ? window_ : saved.window;
    threshold_ = threshold_ > saved.threshold ? threshold_ : saved.threshold;
    before_loss_ = saved.before_loss;
    prior_ = saved.prior;
    epoch_ = never;
    after_timeout_ = false;
  }

  // For so long the window was not what limited the sender: the time does not count (RFC 9438 section 4.2).
  void pause(Duration time) {
    if (epoch_ != never) {
      epoch_ += time;
    }
  }

  // Proportional rate reduction and the end of recovery say what the window is.
  void set_window(std::uint32_t octets) { window_ = octets; }

 private:
  void begin_epoch(std::uint32_t segment, Time now);

  static constexpr std::uint32_t unlimited = 0x7fffffffU;

  std::uint32_t window_ = 0;
  std::uint32_t threshold_ = unlimited;
  Time epoch_ = never;     // when this congestion avoidance began; never: not yet
  float before_loss_ = 0;  // W_max, segments
  float reno_ = 0;         // W_est, segments
  float to_plateau_ = 0;   // K, seconds
  float prior_ = 0;        // cwnd_prior, segments
  float fraction_ = 0;     // growth that is not a whole octet yet
  bool after_timeout_ = false;
};
static_assert(sizeof(Cubic) == 40);

}  // namespace steelyard::tcp

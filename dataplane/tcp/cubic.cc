#include "dataplane/tcp/cubic.h"

#include <algorithm>
#include <cmath>

namespace steelyard::tcp {
namespace {

// RFC 9438 sections 4.3, 4.6 and 5.1, segments and seconds.
constexpr float scaling = 0.4F;                                       // C
constexpr float decrease = 0.7F;                                      // beta_cubic
constexpr float reno_increase = 3 * (1 - decrease) / (1 + decrease);  // alpha_cubic
constexpr std::uint32_t most_window = 0x3fffffffU;                    // the largest that window scaling admits

float seconds(Duration duration) {
  return std::chrono::duration<float>(duration).count();
}

}  // namespace

// RFC 9438 section 4.2.
void Cubic::begin_epoch(std::uint32_t segment, Time now) {
  const float window = static_cast<float>(window_) / static_cast<float>(segment);
  epoch_ = now;
  reno_ = window;
  fraction_ = 0;
  if (after_timeout_ || before_loss_ <= window) {
    // Section 4.8: K is 0 and the plateau is here. The same for a window that has outgrown the last plateau.
    before_loss_ = window;
    to_plateau_ = 0;
    after_timeout_ = false;
    return;
  }
  to_plateau_ = std::cbrt((before_loss_ - window) / scaling);
}

void Cubic::acknowledged(std::uint32_t octets, std::uint32_t segment, Duration round_trip, Time now) {
  if (in_slow_start()) {
    // RFC 5681 section 3.1, counted in octets with RFC 3465's limit of two segments an acknowledgment, one after a
    // timeout (section 2.3).
    const std::uint32_t limit = after_timeout_ ? segment : 2 * segment;
    window_ = std::min(window_ + std::min(octets, limit), most_window);
    return;
  }
  if (epoch_ == never) {
    begin_epoch(segment, now);
  }
  const auto size = static_cast<float>(segment);
  const float window = static_cast<float>(window_) / size;
  const float segments = static_cast<float>(octets) / size;
  const auto curve = [&](float t) {
    const float from_plateau = t - to_plateau_;
    return scaling * from_plateau * from_plateau * from_plateau + before_loss_;
  };
  const float elapsed = seconds(now - epoch_);
  // Section 4.3: what Reno would have; from the window of before the loss on as fast as Reno itself.
  reno_ += (reno_ < prior_ ? reno_increase : 1.0F) * segments / window;
  float growth = 0;
  if (curve(elapsed) < reno_) {
    growth = reno_ - window;
  } else {
    // Sections 4.2, 4.4 and 4.5: towards where the curve is a round trip later, at most half as much again.
    const float target = std::clamp(curve(elapsed + seconds(round_trip)), window, 1.5F * window);
    growth = (target - window) / window * segments;
  }
  fraction_ += std::max(growth, 0.0F) * size;
  const auto whole = static_cast<std::uint32_t>(fraction_);
  fraction_ -= static_cast<float>(whole);
  window_ = std::min(window_ + whole, most_window);
}

void Cubic::lost(std::uint32_t in_flight, std::uint32_t segment) {
  const std::uint32_t full = std::min(window_, std::max(in_flight, segment));
  const float window = static_cast<float>(full) / static_cast<float>(segment);
  prior_ = window;
  before_loss_ = window < before_loss_ ? window * (1 + decrease) / 2 : window;
  threshold_ = std::max(static_cast<std::uint32_t>(static_cast<float>(full) * decrease), 2 * segment);
  epoch_ = never;
}

void Cubic::timed_out(std::uint32_t in_flight, std::uint32_t segment, bool repeated) {
  if (!repeated) {
    lost(in_flight, segment);
  }
  window_ = segment;
  epoch_ = never;
  after_timeout_ = true;
}

void Cubic::restart_after_idle(std::uint32_t segment) {
  window_ = std::min(window_, initial_window(segment));
  epoch_ = never;
}

}  // namespace steelyard::tcp

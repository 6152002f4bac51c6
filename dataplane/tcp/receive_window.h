// What the peer may send: the window that is advertised and the rule by which it grows. Its right edge never moves
// back, whatever scaling rounds off (RFC 7323 section 2.4, RFC 9293 section 3.8.6), and moves on only by steps worth a
// segment (silly window avoidance, RFC 9293 section 3.8.6.2.2). It may begin small and grow by what is consumed: as
// fast as slow start, and what is not consumed makes nobody hold much. Pure.
//
//     next          edge          next + limit - unread
//   ----+-------------+-------------------+----> sequence numbers
//       |   advertised |  not said so yet  |
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/packet/sequence.h"

namespace steelyard::tcp {

using packet::Sequence;

class ReceiveWindow {
 public:
  // Before the handshake has ended: no scaling, and what a SYN can say (RFC 7323 section 2.2). `start`: octets of the
  // buffer that there are until some have been consumed; beyond 16 MB all.
  void begin(Sequence next, std::uint32_t buffer, std::uint32_t start = most_unscaled << 14U) {
    next_ = next;
    buffer_ = buffer;
    earned_ = static_cast<std::uint16_t>(std::min(start / earned_unit, most_earned));
    edge_ = next + std::min(room(), most_unscaled);
  }
  // Both sides have said that they scale.
  void set_scale(std::uint8_t scale) { scale_ = scale; }

  // The smallest scale that can say a buffer's whole size.
  [[nodiscard]] static constexpr std::uint8_t scale_for(std::uint32_t buffer) {
    std::uint8_t scale = 0;
    while (scale < 14 && (most_unscaled << scale) < buffer) {
      ++scale;
    }
    return scale;
  }

  [[nodiscard]] Sequence next() const { return next_; }
  [[nodiscard]] Sequence edge() const { return edge_; }
  [[nodiscard]] std::uint32_t size() const { return packet::distance(next_, edge_); }
  [[nodiscard]] std::uint32_t buffer() const { return buffer_; }
  [[nodiscard]] std::uint32_t unread() const { return unread_; }
  [[nodiscard]] std::uint8_t scale() const { return scale_; }

  // Octets have come in order, within the edge; the application has them and has not consumed them.
  void received(std::uint32_t octets) {
    next_ = next_ + octets;
    unread_ += octets;
  }
  // A FIN has come: it takes a number and no room.
  void received_fin() {
    next_ = next_ + 1;
    edge_ = packet::later_of(edge_, next_);
  }
  void consumed(std::uint32_t octets) {
    const std::uint32_t real = std::min(octets, unread_);
    unread_ -= real;
    opened_ += real;
    if (earned_ != most_earned) {
      earned_ = static_cast<std::uint16_t>(std::min(earned_ + (real + earned_unit - 1) / earned_unit, most_earned));
    }
  }

  // A larger or smaller buffer; a smaller one only stops the edge until the window has shrunk by what comes in.
  void resize(std::uint32_t buffer) { buffer_ = buffer; }

  // The window field of a SYN.
  [[nodiscard]] std::uint16_t unscaled() const { return static_cast<std::uint16_t>(std::min(size(), most_unscaled)); }

  // The window field of any other segment that is about to be sent. Moves the edge when it can move by a segment or
  // half the limit.
  [[nodiscard]] std::uint16_t advertise(std::uint32_t segment) {
    const std::uint32_t unit = 1U << scale_;
    const std::uint32_t current = size();
    std::uint32_t window = current;
    if (growth() >= std::min(segment, limit() / 2)) {
      window = std::max(current, (current + growth()) & ~(unit - 1));
      opened_ = 0;
    }
    // Rounded up, so that it does not seem to shrink; but not time and again beyond what there is room for. Then it
    // seems to shrink by less than a unit, and what lies within the edge is still taken (RFC 7323 section 2.4).
    std::uint32_t field = std::min((window + unit - 1) >> scale_, most_unscaled);
    if (field << scale_ > std::max(window, room() + unit - 1)) {
      field = window >> scale_;
    }
    edge_ = packet::later_of(edge_, next_ + (field << scale_));
    return static_cast<std::uint16_t>(field);
  }

  // Is it worth a segment of its own to say how much the window has grown by what was consumed? (That it can say more
  // than a SYN could is not.)
  [[nodiscard]] bool update_due(std::uint32_t segment) const {
    return std::min(growth(), opened_) >= std::min(2 * segment, limit() / 2);
  }

 private:
  static constexpr std::uint32_t most_unscaled = 65'535;
  static constexpr std::uint32_t earned_unit = 256;
  static constexpr std::uint32_t most_earned = 0xffff;  // no limit

  // Octets that may be unread.
  [[nodiscard]] std::uint32_t limit() const {
    return earned_ == most_earned ? buffer_ : std::min(buffer_, earned_ * earned_unit);
  }
  // How large the window could be.
  [[nodiscard]] std::uint32_t room() const {
    return std::min(limit() - std::min(unread_, limit()), most_unscaled << scale_);
  }
  // By how much the edge could move on.
  [[nodiscard]] std::uint32_t growth() const { return room() > size() ? room() - size() : 0; }

  Sequence next_;
  Sequence edge_;
  std::uint32_t buffer_ = 0;
  std::uint32_t unread_ = 0;
  std::uint32_t opened_ = 0;            // consumed since the edge last moved
  std::uint16_t earned_ = most_earned;  // in earned_unit
  std::uint8_t scale_ = 0;
};
static_assert(sizeof(ReceiveWindow) == 24);

}  // namespace steelyard::tcp

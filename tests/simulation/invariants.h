// What holds of a connection after every event, whatever has come from the wire and whatever the application has asked
// for. One object for each connection, asked after each event; scripts, the simulated world and the fuzz targets share
// it.
#pragma once

#include <algorithm>
#include <string_view>

#include "dataplane/tcp/connection.h"

namespace steelyard::simulation {

class Invariants {
 public:
  // What does not hold; empty when everything does. Before the handshake has ended there is nothing to ask.
  [[nodiscard]] std::string_view broken(const tcp::Connection& connection, const tcp::Settings& settings) {
    const tcp::ConnectionReport now = connection.report(settings);
    if (now.state <= tcp::State::syn_received) {
      return {};
    }
    const std::string_view broken = sending(now).empty() ? receiving(now, settings) : sending(now);
    last_ = now;
    known_ = true;
    return broken;
  }

 private:
  [[nodiscard]] std::string_view sending(const tcp::ConnectionReport& now) const {
    if (now.unacknowledged > std::max(now.largest_window, 1U)) {
      return "more is outstanding than the largest window that the peer has offered";
    }
    if (now.unacknowledged != 0 && !now.timer_armed) {
      return "something is outstanding and no timer runs";
    }
    if (now.in_flight > now.unacknowledged) {
      return "more is in flight than is outstanding";
    }
    if (now.window == 0 || now.segment == 0) {
      return "nothing can ever be sent";
    }
    if (known_ && (packet::after(last_.send_unacknowledged, now.send_unacknowledged) ||
                   packet::after(last_.send_next, now.send_next))) {
      return "SND.UNA or SND.NXT has moved back";
    }
    return {};
  }
  [[nodiscard]] std::string_view receiving(const tcp::ConnectionReport& now, const tcp::Settings& settings) const {
    if (known_ && packet::after(last_.receive_edge, now.receive_edge)) {
      return "the window's right edge has moved back";
    }
    if (known_ && packet::after(last_.receive_next, now.receive_next)) {
      return "RCV.NXT has moved back";
    }
    if (packet::after(now.receive_next, now.receive_edge)) {
      return "more has been received than was ever offered";
    }
    if (now.held > settings.most_held) {
      return "more buffers are held out of order than are allowed";
    }
    return {};
  }

  tcp::ConnectionReport last_{};
  bool known_ = false;
};

}  // namespace steelyard::simulation

// What an administrator or an application may choose for connections. Shared by all connections of a listener or a
// server group; a connection keeps no copy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "dataplane/tcp/round_trip.h"
#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

inline constexpr std::uint32_t unlimited = std::numeric_limits<std::uint32_t>::max();

struct Settings {
  TimeoutLimits timeout{};
  Duration delayed_acknowledgment = std::chrono::milliseconds{40};  // RFC 9293 section 3.8.6.3: below 500 ms
  // RFC 9293 section 3.8.3, R2: at least 100 s; with RFC 6298 it is counted as time and not as repetitions. Also the
  // user timeout (RFC 9293 section 3.9.1.1).
  Duration user_timeout = std::chrono::seconds{100};
  Duration syn_timeout = std::chrono::seconds{180};      // R2 for SYNs: at least 3 min
  Duration finwait2_timeout = std::chrono::seconds{60};  // only after close(): nobody is left who reads
  Duration keepalive_idle{0};                            // 0: no keepalive (RFC 9293 section 3.8.4: the default)
  Duration keepalive_interval = std::chrono::seconds{75};
  std::uint32_t receive_buffer = 256 * 1'024;  // octets that the application may leave unconsumed
  std::uint32_t send_buffer = 256 * 1'024;     // octets given and not acknowledged
  // Of receive_buffer a connection has so much at first, and more by what its application consumes (ReceiveWindow): at
  // least two segments, in steps of 256. So who passes on what he gets holds little for one who stalls.
  std::uint32_t receive_start = unlimited;
  // Of send_buffer no more may wait unsent than is in flight, or than this, unless buffers are ample (Pressure).
  std::uint32_t unsent = unlimited;
  std::uint16_t mtu = 1'500;      // of the link: what the MSS option says follows from it
  std::uint16_t most_held = 256;  // buffers out of order a connection
  std::uint8_t keepalive_probes = 9;
  std::uint16_t largest_segment = 0xffff;  // what the MSS option says at most
  bool nagle = false;                      // RFC 9293 section 3.7.4; a proxy passes on what it gets
  // Only full segments go out, until it is taken back: for who writes a head and a body. What waits for a
  // retransmission timeout goes all the same.
  bool cork = false;

  // What the MSS option says when IP and TCP headers without options have `headers` octets (RFC 6691).
  [[nodiscard]] std::uint16_t announced_segment(std::uint16_t headers) const {
    return std::min(static_cast<std::uint16_t>(mtu - headers), largest_segment);
  }
};

}  // namespace steelyard::tcp

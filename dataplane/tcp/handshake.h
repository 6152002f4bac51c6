// What a client's SYN has offered and we have answered: all that a connection begins with. Kept in a slot of the SYN
// table or, under attack, in the numbers of the SYN-ACK itself (syn_cookie.h).
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/tcp/endpoints.h"
#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/options.h"

namespace steelyard::tcp {

// No peer makes us send segments whose headers outweigh them (a segment size of 1 is an attack): at least this, with
// room for 8 octets behind full options. The floor of other stacks.
inline constexpr std::uint16_t least_segment_size = 48;

struct Handshake {
  Sequence peer_initial;           // IRS
  Sequence initial;                // ISS
  std::uint32_t timestamp = 0;     // of the peer, the latest
  std::uint16_t segment_size = 0;  // the peer's, never 0
  std::uint8_t window_scale = 0;   // the peer's
  bool scaled = false;             // both have said a window scale
  bool sack = false;
  bool timestamps = false;

  [[nodiscard]] static Handshake of(const Options& options, Sequence peer_initial, std::uint16_t default_segment_size) {
    Handshake handshake;
    handshake.peer_initial = peer_initial;
    handshake.segment_size =
        options.segment_size == 0 ? default_segment_size : std::max(options.segment_size, least_segment_size);
    handshake.window_scale = options.window_scale;
    handshake.scaled = options.has_window_scale;
    handshake.sack = options.sack_permitted;
    handshake.timestamps = options.has_timestamps;
    handshake.timestamp = options.timestamp;
    return handshake;
  }
};

}  // namespace steelyard::tcp

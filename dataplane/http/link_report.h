// What the proxy does on one of its connections, for reports.
#pragma once

#include <cstdint>

#include "dataplane/service/ids.h"
#include "dataplane/tcp/stack.h"

namespace steelyard::http {

enum class Side : std::uint8_t { none, client, server };

enum class Activity : std::uint8_t {
  none,        // nobody says
  idle,        // waits for a request
  reading,     // a request's head is on its way
  queued,      // its request waits for a server with room
  connecting,  // to a server
  waiting,     // for the answer's head
  answering,   // the answer's body is on its way
  tunnel,      // after a 101
  closing,     // all is said; what comes is thrown away
};

struct LinkReport {
  Side side = Side::none;
  Activity activity = Activity::none;
  service::ListenerId listener;  // clients: where they came to; servers: the target
  std::uint32_t requests = 0;    // that the connection has carried
  std::uint32_t unsent = 0;      // octets that TCP has not taken yet
  tcp::ConnectionId other;       // on the other side of the request under way; names nothing: there is none
};

}  // namespace steelyard::http

// What the data plane needs to know, and to have, for HTTP listeners: all sizes follow from the number of connections.
// Control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/http/cookie.h"
#include "dataplane/http/proxy.h"
#include "dataplane/worker/tcp_plan.h"

namespace steelyard::worker {

struct HttpPlan {
  std::size_t connections = 65'536;   // per worker: clients' and those to servers together
  std::size_t exchanges = 0;          // per worker: requests at a time; 0: half of the connections, which have two each
  std::size_t log_bytes = 1U << 21U;  // per worker, a power of two: access records that control has not taken yet
  http::CookieKey cookie_key;
};

// The local ports are shared out: full NAT has the lower half of the range, layer 7 the upper one.
struct LocalPortHalves {
  l4::PortRange layer4;
  l4::PortRange layer7;
};
[[nodiscard]] LocalPortHalves halves_of(const l4::PortRange& ports);

[[nodiscard]] http::ProxySetup proxy_setup(const HttpPlan& plan);

// TCP for HTTP listeners; without applications. `packet_buffers`: what a worker's receive pool has.
[[nodiscard]] TcpPlan tcp_plan(const HttpPlan& plan, std::span<const service::Address> local_addresses,
                               const l4::PortRange& ports, std::uint32_t packet_buffers);

}  // namespace steelyard::worker

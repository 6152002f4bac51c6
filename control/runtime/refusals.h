// What listeners have refused by their own rules, by reason. As with servers (traffic.h) the workers' counters of an id
// only grow, and the book remembers where each owner of an id began.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "control/runtime/builder.h"
#include "dataplane/service/ids.h"
#include "dataplane/worker/dataplane.h"

namespace steelyard::control {

// The reasons, named as the drops are.
struct RefusalReason {
  std::string_view name;
  service::Counter l4::ListenerCounters::*counter;
};
inline constexpr std::array refusal_reasons{
    RefusalReason{"access_denied", &l4::ListenerCounters::access_denied},
    RefusalReason{"connection_rate_exceeded", &l4::ListenerCounters::connection_rate_exceeded},
    RefusalReason{"source_connections_exceeded", &l4::ListenerCounters::source_connections_exceeded},
    RefusalReason{"source_rate_exceeded", &l4::ListenerCounters::source_rate_exceeded},
    RefusalReason{"source_requests_exceeded", &l4::ListenerCounters::source_requests_exceeded}};

// By reason, over all workers.
using Refusals = std::array<std::uint64_t, refusal_reasons.size()>;

// Control thread.
class RefusalBook {
 public:
  // `id` belongs to `owner` from now on; a former owner that is back goes on where it stopped.
  void open(const worker::Dataplane& dataplane, service::ListenerId id, const ListenerKey& owner);
  // What the owner of `id` has refused.
  [[nodiscard]] Refusals read(const worker::Dataplane& dataplane, service::ListenerId id) const;

 private:
  struct Page {
    ListenerKey owner;
    Refusals before;  // the counters when the owner came
  };
  std::unordered_map<std::uint16_t, Page> pages_;  // one an id that was ever used
};

}  // namespace steelyard::control

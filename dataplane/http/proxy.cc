// Stands in for the proxy until it is there: takes clients' connections and answers nothing.
#include "dataplane/http/proxy.h"

#include <vector>

namespace steelyard::http {

class Proxy::Machine {
 public:
  explicit Machine(Ground& given) : ground(given) { received.reserve(4'096); }

  struct Received {
    tcp::ConnectionId connection;
    std::uint32_t octets;
  };
  Ground& ground;
  std::vector<Received> received;
  ProxyCounters counters;
};

Proxy::Proxy(const ProxySetup&, Ground& ground, tcp::Time) : machine_(std::make_unique<Machine>(ground)) {}
Proxy::~Proxy() = default;
void Proxy::set_snapshot(const service::Snapshot*) {}
void Proxy::detach() {}
void Proxy::accepted(tcp::ConnectionId, service::ListenerId) {
  machine_->counters.clients.add();
}
void Proxy::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  machine_->received.push_back({connection, slice.length});
  machine_->ground.memory().release(slice);
}
void Proxy::notify(tcp::ConnectionId, tcp::Event) {}
void Proxy::over(tcp::ConnectionId, tcp::Cause) {
  machine_->counters.clients.subtract();
}
std::size_t Proxy::turn(tcp::Time now, std::uint64_t) {
  const std::size_t count = machine_->received.size();
  for (const auto& [connection, octets] : machine_->received) {
    machine_->ground.consume(connection, octets, now);
  }
  machine_->received.clear();
  return count;
}
const ProxyCounters& Proxy::counters() const {
  return machine_->counters;
}

}  // namespace steelyard::http

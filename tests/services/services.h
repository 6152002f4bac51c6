// What sits on the worker's TCP in the test program: the sockets of the control channel and the streams.
#pragma once

#include <memory>
#include <optional>

#include "dataplane/worker/tcp_application.h"
#include "tests/services/call.h"
#include "tests/services/socket_table.h"
#include "tests/services/streams.h"

namespace steelyard::test {

struct ServicePorts {
  std::uint16_t echo = 7;  // 0: not served
  std::uint16_t discard = 9;
  std::uint16_t source = 19;
};

class Services final : public worker::TcpApplication {
 public:
  // Control thread. `settings` are the defaults of all connections.
  Services(const tcp::Settings& settings, const ServicePorts& ports) : settings_(settings), ports_(ports) {}

  void attach(worker::TcpHost& host) override;
  void detach() override;
  void accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) override;
  void deliver(tcp::ConnectionId connection, const tcp::Slice& slice) override;
  void notify(tcp::ConnectionId connection, tcp::Event event) override;
  void over(tcp::ConnectionId connection, tcp::Cause cause) override;
  std::size_t turn(tcp::Time now) override;

  // Between the channel's thread and the worker. After attach().
  [[nodiscard]] CallRing& calls() { return *calls_; }
  [[nodiscard]] CallRing& answers() { return *answers_; }

 private:
  tcp::Settings settings_;
  ServicePorts ports_;
  std::unique_ptr<CallRing> calls_;
  std::unique_ptr<CallRing> answers_;
  std::optional<SocketTable> sockets_;
  std::optional<Streams> streams_;
};

}  // namespace steelyard::test

// What sits on a worker's TCP: layer 7, or the services of the tests. Everything on the worker; it has the rules of the
// packet path (no allocation, no lock, no system call).
#pragma once

#include <cstddef>

#include "dataplane/http/link_report.h"
#include "dataplane/http/withdrawal.h"
#include "dataplane/l4/flow_filter.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/tcp/stack.h"

namespace steelyard::worker {

class TcpHost;

class TcpApplication {
 public:
  virtual ~TcpApplication() = default;
  // Control thread, once, before all else; `host` outlives the application's use of it.
  virtual void attach(TcpHost& host) = 0;
  // Control thread, once, when the worker has stopped and the stack is gone: every buffer is to be given back now.
  virtual void detach() = 0;

  // The worker has adopted a configuration, valid until the next call. Before its first packet, and with each new one
  // before the packets that are decided by it; bounded work, however large it is.
  virtual void configure(const service::Snapshot& /*snapshot*/) {}
  // A SYN for a listener of that configuration (`http`, running) is about to be given to the stack.
  virtual void expect_client(const service::Listener& /*listener*/) {}

  // As tcp::StackOutput: called from within the stack, so note it and act in turn().
  virtual void accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) = 0;
  virtual void deliver(tcp::ConnectionId connection, const tcp::Slice& slice) = 0;
  virtual void notify(tcp::ConnectionId connection, tcp::Event event) = 0;
  virtual void over(tcp::ConnectionId connection, tcp::Cause cause) = 0;

  // Ends what is under way for these clients at these servers, looking at `budget` connections at most, from `from` on
  // (http::Proxy::withdraw). Between two turns.
  virtual http::WithdrawalProgress withdraw(const l4::FlowFilter& /*filter*/, std::uint32_t /*from*/,
                                            std::size_t /*budget*/, tcp::Time /*now*/) {
    return {};
  }
  // What it does on a connection; what it does not tell is default. Between two turns; for taps at any time.
  [[nodiscard]] virtual http::LinkReport describe(tcp::ConnectionId /*connection*/) const { return {}; }

  // Once a turn of the worker, after its packets: the time to act. Returns how much there was to do; of 0 the worker
  // may sleep.
  virtual std::size_t turn(tcp::Time now) = 0;
};

}  // namespace steelyard::worker

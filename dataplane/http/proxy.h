// Layer 7 of one worker: clients' connections end here, their requests go to servers over connections of our own,
// answers come back. A state machine like tcp::Stack below it: what happens comes in with the time, everything it asks
// for goes through its Ground. Allocates at construction only.
//
// What TCP tells is noted (accepted, deliver, notify, over) and acted upon in turn(), which looks at the connections
// that something has happened to, and at the timers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>

#include "dataplane/http/cookie.h"
#include "dataplane/http/ground.h"
#include "dataplane/http/link_report.h"
#include "dataplane/http/withdrawal.h"
#include "dataplane/service/counter.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/tcp/stack.h"

namespace steelyard::http {

struct ProxySetup {
  std::size_t connections = 1'024;  // as many as the stack's, whose indices are used
  std::size_t exchanges = 1'024;    // requests at a time
  std::size_t compressors = 8;      // answers that are gzipped at a time, at most 64
  CookieKey cookie_key;
};

// Written by the worker, read by any thread.
struct ProxyCounters {
  service::Counter requests;
  service::Counter retries;
  service::Counter gzip_answers;       // that have begun to be gzipped
  service::Counter gzip_skipped;       // were not, for want of time, buffers or a compressor
  service::Counter gzip_octets_in;     // of bodies
  service::Counter gzip_octets_out;    // of what has become of them
  service::Gauge clients;              // connections of clients
  service::Gauge servers;              // connections to servers
  service::Gauge idle;                 // of those: waiting for a request
  service::Gauge exchanges;            // requests under way
  service::Gauge queued;               // of those: waiting for a server with room
  service::Counter bad_proxy_headers;  // trusted proxies' connections that were ended for want of one
};

class Proxy {
 public:
  // `ground` and `resource`, which gives the memory of all tables, outlive the proxy; `ground` may be asked for nothing
  // before the first turn.
  Proxy(const ProxySetup& setup, Ground& ground, tcp::Time now,
        std::pmr::memory_resource* resource = std::pmr::get_default_resource());
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  // Bytes of its tables, about.
  [[nodiscard]] static std::size_t memory_needed(const ProxySetup& setup);

  // Makes room for what PROXY headers tell. Before the first configuration that takes them is set; a few milliseconds
  // for a million connections the first time, so any one thread that is not the worker may do it.
  void commit_addresses();
  // The configuration; valid until the next call. Before the first connection.
  void set_snapshot(const service::Snapshot* snapshot);
  // The stack is gone: every slice is given back. Control thread, at the end.
  void detach();

  // As tcp::StackOutput's. Connections that connect() has opened are the proxy's already.
  void accepted(tcp::ConnectionId connection, service::ListenerId listener);
  void deliver(tcp::ConnectionId connection, const tcp::Slice& slice);
  void notify(tcp::ConnectionId connection, tcp::Event event);
  void over(tcp::ConnectionId connection, tcp::Cause cause);

  // `wall_us`: microseconds since 1970. How much there was to do.
  std::size_t turn(tcp::Time now, std::uint64_t wall_us);

  // Takes servers away from the requests that have them, looking at `budget` connections at most, from `from` on: a
  // request of which no answer has come, and which can be sent again, goes to another server; any other one is answered
  // by 502, or, when its answer has begun, its client's connection is reset. Idle connections of such servers are
  // closed. Between two turns.
  [[nodiscard]] WithdrawalProgress withdraw(const Withdrawal& which, std::uint32_t from, std::size_t budget,
                                            tcp::Time now);

  // What it does on a connection. One that it has nothing to do with any more has no side.
  [[nodiscard]] LinkReport describe(tcp::ConnectionId connection) const;

  [[nodiscard]] const ProxyCounters& counters() const;

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace steelyard::http

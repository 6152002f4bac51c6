// What the proxy stands on: TCP, buffers, layer 4's bookkeeping of servers, the log. A worker implements it
// (worker/http_application.h), tests play it. Called from Proxy::turn() and withdraw(); endpoints_of(), memory() and
// compact() also while TCP tells something. Nothing in it calls the proxy back but through accepted(), deliver(),
// notify() and over(), as tcp::Stack does. Worker thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/http/access_record.h"
#include "dataplane/http/cause.h"
#include "dataplane/schedule/maglev.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/tcp/endpoints.h"
#include "dataplane/tcp/slice.h"
#include "dataplane/tcp/slice_queue.h"
#include "dataplane/tcp/stack.h"

namespace steelyard::http {

class Ground {
 public:
  virtual ~Ground() = default;

  // --- TCP, as tcp::Stack's calls --------------------------------------------------------------------------------
  // Takes over the references of as many slices, from the front, as it returns.
  [[nodiscard]] virtual std::size_t send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices,
                                         tcp::Time now) = 0;
  // The same of the last that is said on a connection: when all are taken, shutdown() follows. TCP that has both at
  // once says the end together with what comes before it.
  [[nodiscard]] virtual std::size_t send_last(tcp::ConnectionId connection, std::span<const tcp::Slice> slices,
                                              tcp::Time now) {
    const std::size_t taken = send(connection, slices, now);
    if (taken == slices.size()) {
      shutdown(connection, now);
    }
    return taken;
  }
  virtual void consume(tcp::ConnectionId connection, std::uint32_t octets, tcp::Time now) = 0;
  virtual void shutdown(tcp::ConnectionId connection, tcp::Time now) = 0;
  virtual void close(tcp::ConnectionId connection, tcp::Time now) = 0;
  virtual void abort(tcp::ConnectionId connection, tcp::Time now) = 0;
  // A connection to a server, from a local address of its family. An id that names nothing: no port or no room is left.
  [[nodiscard]] virtual tcp::ConnectionId connect(const service::Server& server, tcp::Time now) = 0;
  // Null when it names nothing.
  [[nodiscard]] virtual const tcp::Endpoints* endpoints_of(tcp::ConnectionId connection) const = 0;

  // --- buffers ---------------------------------------------------------------------------------------------------
  // An empty buffer: `octets` is where to write; who sends it makes `slice` as long as what was written.
  struct Room {
    tcp::Slice slice;
    std::span<std::uint8_t> octets;
  };
  [[nodiscard]] virtual std::optional<Room> allocate() = 0;
  // What there is for work that might as well be left undone.
  struct Slack {
    bool keeps_up = true;           // the worker with its packets
    std::uint8_t free_eighths = 8;  // of the buffers that allocate() gives out
  };
  [[nodiscard]] virtual Slack slack() const { return {}; }
  [[nodiscard]] virtual const std::uint8_t* data_of(const tcp::Slice& slice) const = 0;
  [[nodiscard]] virtual tcp::Memory& memory() = 0;  // of queues
  // Copies what is queued together when it holds many buffers for few octets. After a push().
  virtual void compact(tcp::SliceQueue& queue) = 0;

  // --- servers ---------------------------------------------------------------------------------------------------
  struct Choice {
    std::optional<std::size_t> server;  // place in the target
    Cause refused = Cause::no_server;   // no_server, or queue_full: none has a place
  };
  // Has a client asked a listener for less than it may? Asked once for each request.
  [[nodiscard]] virtual bool takes_request(const service::Listener& listener, const service::Address& client) = 0;
  // The server of the next request, by the target's scheduler. `key`: what a scheduler by hash goes by. `without`:
  // places that have been tried.
  [[nodiscard]] virtual Choice choose(const service::Listener& target, schedule::ClientKey key,
                                      std::span<const std::size_t> without) = 0;
  // Has a server that was not chosen by its turn a place for one more request?
  [[nodiscard]] virtual bool has_place(const service::Server& server) const = 0;
  // A request is counted as the server's from now on, and no more.
  virtual void begin_request(const service::Listener& target, const service::Server& server) = 0;
  virtual void end_request(service::ListenerId target, service::BackendId server) = 0;

  // --- reports ---------------------------------------------------------------------------------------------------
  virtual void log(const AccessRecord& record) = 0;
};

}  // namespace steelyard::http

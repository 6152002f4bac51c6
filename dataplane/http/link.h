// A TCP connection as the proxy sees it, of a client or to a server: what has come and is not read yet, what could not
// be sent yet, and what is waited for. An idle one is these 152 octets, its TCP connection and nothing else.
#pragma once

#include <cstdint>

#include "dataplane/http/link_report.h"
#include "dataplane/http/parse.h"
#include "dataplane/service/ids.h"
#include "dataplane/tcp/slice_queue.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/tcp/timer_wheel.h"

namespace steelyard::http {

using LinkIndex = std::uint32_t;
using ExchangeIndex = std::uint32_t;
inline constexpr std::uint32_t nobody = 0xffffffffU;

struct Link {
  tcp::ConnectionId id;
  tcp::Time deadline = tcp::never;
  tcp::TimerLinks timer;
  tcp::SliceQueue received;    // not read yet
  tcp::SliceQueue unsent;      // heads, and what a full send buffer has refused
  std::uint64_t began_us = 0;  // clients: wall clock of a request's first octet; 0: none has come
  tcp::Time idle_since{};      // servers
  LinkIndex next_ready = nobody;
  ExchangeIndex exchange = nobody;  // of which it is a side
  // Idle servers' connections: the one that has been idle for longer; clients: the server's connection that is kept for
  // them; also free links.
  LinkIndex next = nobody;
  LinkIndex previous = nobody;   // of idle servers' connections; kept ones: the client
  std::uint32_t scanned = 0;     // octets of `received` in which no head's end is
  std::uint32_t requests = 0;    // that this connection has carried
  service::BackendId backend;    // of a server
  std::uint32_t place = 0;       // of it in the target, when it was chosen
  service::ListenerId listener;  // clients: where they came to; servers: the target
  HeadScanner scanner;
  Side side = Side::none;
  tcp::Cause cause = tcp::Cause::finished;  // when over
  bool ready : 1 = false;                   // in the list of those that something has happened to
  bool established : 1 = false;             // servers: the handshake is complete
  bool peer_finished : 1 = false;           // no more will come
  bool over : 1 = false;                    // `id` names nothing any more
  bool blocked : 1 = false;                 // the send buffer is full: `writable` will be told
  bool idle : 1 = false;                    // of a server, in its list
  bool lingering : 1 = false;               // all is said; what comes is thrown away
  bool shut : 1 = false;                    // our side is shut down, or will be when all is sent
  bool expired : 1 = false;                 // its time may be over
  bool broken : 1 = false;                  // has lost what found no node
  bool awaits_header : 1 = false;           // clients: comes from a trusted proxy, and no PROXY header has come yet
  bool proxied : 1 = false;                 // clients: its addresses are those of a PROXY header
  bool named : 1 = false;                   // servers: has begun with a PROXY header, so it is one client's alone
  bool kept : 1 = false;                    // of a server, for its client's next request
};
static_assert(sizeof(Link) <= 152);

}  // namespace steelyard::http

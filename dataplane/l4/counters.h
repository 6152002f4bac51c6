// What layer 4 counts, per worker. One cache line per backend, touched once a packet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "dataplane/l4/flow.h"
#include "dataplane/l4/rate_window.h"
#include "dataplane/service/counter.h"

namespace steelyard::l4 {

// "in" is from the client to the server, "out" the other way; bytes are those of the IP packets as received. Of layer 7
// requests, and pieces of payload, counted at the server's side.
struct alignas(64) BackendCounters {
  service::Counter connections;
  service::Counter packets_in;
  service::Counter bytes_in;
  service::Counter packets_out;
  service::Counter bytes_out;
  service::Gauge client_closed;  // one-sided flows that are no connections any more and still forwarded
  // Of a server with max_connections: how often a permit was missing here while others had one, modulo 2^32; what
  // control moves permits by.
  service::Gauge permit_missing;
  service::Counter turned_away;  // connections that had been its own, were it not full: others got them, or nobody

  // A packet from a side; no branch that half of the packets would mispredict (see Flow::tuple_from).
  void count(Side from, std::uint32_t bytes) {
    auto* first = reinterpret_cast<std::byte*>(this) + sizeof(service::Counter) * (1 + 2 * number(from));
    std::launder(reinterpret_cast<service::Counter*>(first))->add();
    std::launder(reinterpret_cast<service::Counter*>(first + sizeof(service::Counter)))->add(bytes);
  }
};
static_assert(sizeof(BackendCounters) == 64);
static_assert(offsetof(BackendCounters, packets_in) == 8 && offsetof(BackendCounters, bytes_in) == 16 &&
              offsetof(BackendCounters, packets_out) == 24 && offsetof(BackendCounters, bytes_out) == 32);

// What a listener's rules have refused: packets without a flow, and requests. And what came in, where that is limited
// or ends here.
struct alignas(64) ListenerCounters {
  service::Counter access_denied;
  service::Counter connection_rate_exceeded;
  service::Counter source_connections_exceeded;
  service::Counter source_rate_exceeded;
  service::Counter source_requests_exceeded;
  RateWindow came;
  service::Gauge terminated;  // connections of clients that end here
};
static_assert(sizeof(ListenerCounters) == 64);

struct BalancerCounters {
  service::Counter flows_created;
  service::Counter adopted;        // of those, in the middle of a connection
  service::Counter flows_expired;  // by their idle timeout
  service::Counter flows_reset;    // by a command, a drain deadline or an orphan policy
  service::Counter half_open_expired;
  service::Counter half_open_replaced;  // the oldest gave way to a new one
  service::Counter lingering_recycled;  // ended flows that gave way before their time
  service::Counter resets_sent;
  service::Counter unreachables_sent;
  service::Counter errors_translated;  // ICMP errors of others
  service::Counter tunnel_errors;      // of these, about our own packets in tunnels
  service::Counter persistence_hits;
  service::Counter persistence_asked_home;  // first packets that another worker decided
  service::Counter redispatched;            // a SYN retransmitted to a server that is down meanwhile
  service::Counter client_options_sent;     // segments that told a server its client's address
  service::Counter client_options_no_room;  // that should have, and had no room in their header or on the link
  service::Counter proxy_headers_sent;
  service::Counter proxy_headers_repeated;    // not acknowledged in time
  service::Counter proxy_headers_unanswered;  // connections reset because their server never acknowledged it
  service::Gauge flows_ipv4;
  service::Gauge flows_ipv6;
  service::Gauge half_open;
};

}  // namespace steelyard::l4

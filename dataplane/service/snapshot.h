// The configuration as workers see it: an immutable tree that the control side builds, publishes by RCU and frees after
// every worker has let go of it. Unchanged listeners are shared between snapshots. The only mutable parts are the
// live server states (written by control, read by workers) and the scheduler scratch (each worker its own).
// This header knows nobody; it must never grow a pointer to something that lives on the control side.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/service/access_control.h"
#include "dataplane/service/address.h"
#include "dataplane/service/hash_table.h"
#include "dataplane/service/http_settings.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/listener_index.h"
#include "dataplane/service/server_tags.h"

namespace steelyard::service {

enum class Mode : std::uint8_t { nat, fullnat, dr, tunnel };
// Do only the client's packets pass, because servers answer clients directly?
[[nodiscard]] constexpr bool is_one_sided(Mode mode) {
  return mode >= Mode::dr;
}
// How a server of full NAT or of an HTTP listener, which sees one of our addresses, is told the client's.
enum class ClientAddress : std::uint8_t { none, toa, proxy_v2, proxy_v1 };
// The last two of layer 7 alone: by the path of a request, and by a field of it.
enum class Scheduler : std::uint8_t { wrr, wlc, rr, sch, tch, uri, header };
// By consistent hash: the server follows from the client or the request, so that every process with this configuration
// finds it again.
[[nodiscard]] constexpr bool by_hash(Scheduler scheduler) {
  return scheduler >= Scheduler::sch;
}
// What happens to the connections of a server that was removed or turned unhealthy.
enum class OrphanPolicy : std::uint8_t { run, reset };
// What a client is told whose new connection no server has room for: a reset (UDP: unreachable), or nothing, so that
// its next try may find room.
enum class WhenFull : std::uint8_t { reset, drop };

// What changes between two configurations: written by control with release stores, read by workers.
struct ServerState {
  std::atomic<bool> up{true};
  // Nanoseconds of the workers' clock when the server came back; 0: no slow start is running.
  std::atomic<std::uint64_t> recovered_at{0};
  // Its drain is over: while its weight is 0, holders of session cookies are scheduled anew.
  std::atomic<bool> sessions_over{false};
};

struct Server {
  Address address;
  std::uint16_t port = 0;     // host order
  std::uint8_t weight = 100;  // 0..100; 0 takes no new connections
  BackendId id;
  std::uint32_t max_connections = 0;  // over all workers; 0: no limit
  bool backup = false;                // takes new connections only while no other server can
};

// Live part of a listener. `epoch` grows after every change of a state, so that a worker compares one number.
struct ListenerState {
  explicit ListenerState(std::size_t servers) : states(servers) {}
  std::atomic<std::uint32_t> epoch{1};
  std::vector<ServerState> states;  // parallel to Listener::servers
};

// What a single source may have of a listener, over all workers; 0: as much as it likes.
struct SourceLimits {
  std::uint32_t connections = 0;      // at a time
  std::uint32_t connection_rate = 0;  // new ones a second
  std::uint8_t ipv6_prefix = 64;      // addresses with so many first bits in common are one source
  // Of the counts: those of another generation are forgotten. Grows when counting begins, or goes by other prefixes.
  std::uint32_t generation = 0;
  std::uint32_t request_rate = 0;  // layer 7: requests a second

  [[nodiscard]] bool any() const { return connections != 0 || connection_rate != 0 || request_rate != 0; }
  friend bool operator==(const SourceLimits&, const SourceLimits&) = default;
};

struct Listener {
  ListenerId id;
  VipKey key;
  Mode mode = Mode::nat;
  Scheduler scheduler = Scheduler::wrr;
  bool running = true;
  OrphanPolicy on_unhealthy = OrphanPolicy::run;
  OrphanPolicy on_removed = OrphanPolicy::run;
  std::chrono::seconds established_timeout{900};
  std::chrono::seconds udp_timeout{90};
  std::chrono::seconds persistence_timeout{0};  // 0: off
  std::chrono::seconds slow_start{0};           // 0: off
  bool strip_timestamps = true;                 // full NAT: remove the TCP timestamps option from SYNs
  // Full NAT, TCP: none, toa, or proxy_v2 with strip_timestamps. Layer 7: none, proxy_v1, proxy_v2.
  ClientAddress client_address = ClientAddress::none;
  WhenFull when_full = WhenFull::reset;
  bool limited = false;         // some server has max_connections
  std::uint64_t bandwidth = 0;  // bytes a second of IP packets to clients, over all workers; 0: no limit
  // Which build of `servers` this is: grows whenever the set, a weight or an order changes.
  std::uint64_t servers_generation = 0;
  std::vector<Server> servers;
  // Two servers: the first one is the primary, the second one takes connections only while the first cannot.
  bool primary_secondary = false;
  std::shared_ptr<ListenerState> state;
  std::shared_ptr<const HashTable> hash_table;  // of `servers`; sch and tch only
  std::shared_ptr<const AccessControl> access;  // null: everybody may come in
  std::uint32_t connection_rate = 0;            // new connections a second, over all workers; 0: no limit
  SourceLimits per_source;
  // Layer 7: connections end here. Null: layer 4. Of a listener that clients come to, and of every target of it; it is
  // its own first target. A target that is not a listener by itself has its key and is not in the index.
  std::shared_ptr<const HttpSettings> http;
  std::shared_ptr<const ServerTags> tags;  // of `servers`, layer 7
  // Scheduler memory, one block per worker; a worker writes only its own (schedule/scheduler.h says how much).
  std::vector<std::shared_ptr<std::uint32_t[]>> scratch;

  [[nodiscard]] bool limits_clients() const { return connection_rate != 0 || per_source.any(); }
};

// A route: `gateway` unspecified means on-link.
struct Route {
  Prefix destination;
  Address gateway;
  bool on_link = false;
  PortIndex port;
};

// An address of the full NAT pool and the port that owns it.
struct LocalAddress {
  Address address;
  PortIndex port;
};

struct Snapshot {
  std::uint64_t generation = 0;
  std::vector<std::shared_ptr<const Listener>> listeners;  // by ListenerId::value; empty slots are null
  std::shared_ptr<const ListenerIndex> index;              // (VIP, port, protocol) -> ListenerId
  std::shared_ptr<const EndpointSet> nat_servers;          // server endpoints of `nat` listeners
  // The same of TCP listeners by hash alone: such a server's connection may outlive our knowledge of it, and it is not
  // told otherwise. Of those that no other `nat` listener has: the listener.
  std::shared_ptr<const EndpointSet> hashed_servers = std::make_shared<EndpointSet>();
  std::shared_ptr<const ListenerIndex> hashed_listeners = std::make_shared<ListenerIndex>();
  // Listeners that were removed while connections of theirs may still run: whose packets they are is known by these.
  // Removed servers of `nat` listeners stay in nat_servers for the same reason.
  std::shared_ptr<const EndpointSet> former_listeners = std::make_shared<EndpointSet>();
  // VIP and port of HTTP listeners, those included that were removed while connections of theirs may still run.
  std::shared_ptr<const EndpointSet> terminated = std::make_shared<EndpointSet>();
  std::shared_ptr<const AddressSet> vips;  // answered by ARP, ND and ICMP echo
  std::vector<Route> routes;               // longest prefix first
  bool reset_unknown_tcp = true;  // answer a mid-stream TCP packet without a flow by RST instead of dropping it
  bool pass_unmatched = false;    // hand what nobody claims to the kernel

  [[nodiscard]] const Listener* find(ListenerId id) const {
    return id.value < listeners.size() ? listeners[id.value].get() : nullptr;
  }
};

}  // namespace steelyard::service

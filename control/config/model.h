// The configuration file as plain values: what control reads to build snapshots, ports, probes and logs. Defaults are
// the member initialisers; a file that says nothing about a value gets exactly these (health checks of UDP listeners
// differ: HealthCheck::for_protocol). Everything is a value type without ownership tricks, usable on any thread.
//
// Objects remember where they stood in the file for messages that are only known later. Where something stands is no
// part of what it says, so positions never take part in a comparison: a file that was only reformatted equals the old
// one.
#pragma once

#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/service/address.h"
#include "dataplane/service/listener_index.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::control::config {

using service::AccessType;
using service::Address;
using service::ClientAddress;
using service::FixedAnswer;
using service::ForwardedFor;
using service::Gzip;
using service::HeaderEdit;
using service::Mode;
using service::OrphanPolicy;
using service::PathEdit;
using service::Prefix;
using service::Protocol;
using service::Redirect;
using service::SameSite;
using service::Scheduler;
using service::SessionCookie;
using service::WhenFull;

// Counted from 1, columns in bytes; 0 means that the file does not mention the object.
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  friend constexpr bool operator==(const Position&, const Position&) { return true; }
};

// Ports first..last, both included, host order.
struct PortRange {
  std::uint16_t first = 1;
  std::uint16_t last = 65535;

  [[nodiscard]] constexpr bool contains(std::uint16_t port) const { return first <= port && port <= last; }
  [[nodiscard]] constexpr std::size_t size() const { return static_cast<std::size_t>(last - first) + 1; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

// ---- The process
// -----------------------------------------------------------------------------------------------------

enum class Idle : std::uint8_t { busy, adaptive };
enum class Hugepages : std::uint8_t { automatic, required, off };
enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, critical };

struct Workers {
  std::uint16_t count = 1;          // 1..64
  std::vector<std::uint16_t> cpus;  // empty: chosen by the program; else one distinct CPU per worker
  Idle idle = Idle::adaptive;
  std::uint32_t coalesce_us = 1000;  // 0..1000; what turns wait at most where packets go by system calls
  Position at;
  friend bool operator==(const Workers&, const Workers&) = default;
};

// Sizes are per worker.
struct Memory {
  Hugepages hugepages = Hugepages::automatic;
  std::uint32_t flows_ipv4 = 262144;     // 1024..134217728
  std::uint32_t flows_ipv6 = 65536;      // 1024..134217728
  std::uint32_t packet_buffers = 16384;  // 2048..1048576
  std::uint32_t connections = 65536;     // TCP that ends here, to clients and to servers: 1024..16777216; 0: no layer 7
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Metrics {
  Address address;
  std::uint16_t port = 0;
  friend bool operator==(const Metrics&, const Metrics&) = default;
};

// A line for every request of http listeners.
struct AccessLog {
  enum class To : std::uint8_t { nowhere, file, standard_output, syslog };
  To to = To::nowhere;
  std::string file;    // an absolute path
  std::string format;  // a template (control/access_log/variables.cc has what may stand in it); empty: JSON
  friend bool operator==(const AccessLog&, const AccessLog&) = default;
};

// ---- The network
// -----------------------------------------------------------------------------------------------------

// An interface address with its connected prefix: host bits are kept.
struct PortAddress {
  Prefix prefix;
  Position at;
  friend bool operator==(const PortAddress&, const PortAddress&) = default;
};

struct ExceptionInterface {
  bool enabled = true;
  std::string name;               // filled with "sy-<port name>" when the file gives none; at most 15 characters
  std::string network_namespace;  // empty: the process's own
  bool manage = true;             // set MAC, MTU, addresses and routes by netlink
  Position at;
  friend bool operator==(const ExceptionInterface&, const ExceptionInterface&) = default;
};

// A port that is a VLAN of another one.
struct Vlan {
  std::string port;      // which has a device
  std::uint16_t id = 0;  // 1..4094
  Position at;
  friend bool operator==(const Vlan&, const Vlan&) = default;
};

struct Port {
  std::string name;
  std::string device;  // DPDK device string or PCI address; empty: a VLAN
  std::optional<Vlan> vlan;
  std::vector<PortAddress> addresses;
  std::uint16_t mtu = 1500;  // 1280..9000; a VLAN's is that of its port, unless the file says else
  ExceptionInterface exception;
  Position at;
  friend bool operator==(const Port&, const Port&) = default;
};

// `gateway:` of the file stands here too, as a route to 0.0.0.0/0 or ::/0.
struct Route {
  Prefix to;  // host bits are clear
  Address via;
  std::string port;  // empty: the port that has a connected prefix with `via` (egress_port)
  Position at;
  friend bool operator==(const Route&, const Route&) = default;
};

// An address of the full NAT pool.
struct LocalAddress {
  Address address;
  std::string port;  // empty: the port that has a connected prefix with it (egress_port)
  Position at;
  friend bool operator==(const LocalAddress&, const LocalAddress&) = default;
};

// ---- The services
// ----------------------------------------------------------------------------------------------------

enum class CheckType : std::uint8_t { tcp, http, udp };
enum class CheckMethod : std::uint8_t { head, get };

// status[2] says whether 2xx answers are good; 2..5 are used.
using StatusClasses = std::bitset<6>;

struct HealthCheck {
  bool enabled = true;
  CheckType type = CheckType::tcp;
  std::chrono::seconds interval{2};      // 1..50
  std::chrono::seconds timeout{5};       // 1..300; never below the interval: a lower one is raised when it is read
  std::uint8_t healthy_threshold = 3;    // 2..10, UDP 1..10
  std::uint8_t unhealthy_threshold = 3;  // 2..10, UDP 1..10
  std::optional<std::uint16_t> port;     // none: the server's port
  CheckMethod method = CheckMethod::head;
  std::string path = "/";
  std::string host;  // empty: the server's address
  StatusClasses status{0b001100};
  std::string request;  // UDP; empty: an empty datagram
  std::string expect;   // UDP; empty: silence is good
  Position at;

  // What a listener gets that says nothing: TCP every 2 s (timeout 5 s), UDP every 5 s (timeout 10 s).
  [[nodiscard]] static HealthCheck for_protocol(Protocol protocol);
  // The same of an http listener: HEAD / every 2 s.
  [[nodiscard]] static HealthCheck for_http();
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

struct Server {
  std::string name;  // optional; unique in its group
  Address address;
  std::uint16_t port = 0;     // 0 only in a load balancer's default group: the listener's server_port counts
  std::uint8_t weight = 100;  // 0..100
  // For each listener by itself: 0..4294967295, 0: no limit. When the file gives none: the group's, which stands here.
  std::uint32_t max_connections = 0;
  bool backup = false;  // takes new connections only while no other server can
  Position at;
  friend bool operator==(const Server&, const Server&) = default;
};

struct ServerGroup {
  std::string name;
  std::vector<Server> servers;
  bool primary_secondary = false;  // of `primary_secondary_groups`: two servers, the primary first
  Position at;
  friend bool operator==(const ServerGroup&, const ServerGroup&) = default;
};

// Sources that listeners let in, or do not.
struct AccessEntry {
  Prefix network;       // host bits are clear
  std::string comment;  // for people alone
  friend bool operator==(const AccessEntry&, const AccessEntry&) = default;
};

struct AccessControlList {
  std::string name;
  std::vector<AccessEntry> entries;  // at most max_access_entries
  Position at;
  friend bool operator==(const AccessControlList&, const AccessControlList&) = default;
};
inline constexpr std::size_t max_access_entries = 1000;

// What a listener makes of lists: all of them together are one.
struct ListenerAccess {
  struct Name {
    std::string name;
    Position at;
    friend bool operator==(const Name&, const Name&) = default;
  };
  AccessType type = AccessType::white;
  std::vector<Name> lists;  // at least one
  Position at;
  friend bool operator==(const ListenerAccess&, const ListenerAccess&) = default;
};

// What a listener takes of one source; 0: no limit. At least one is set.
struct SourceLimits {
  std::uint32_t max_connections = 0;      // 1..1,000,000
  std::uint32_t max_connection_rate = 0;  // a second, 1..1,000,000
  std::uint8_t ipv6_prefix = 64;          // 32..128
  std::uint32_t max_request_rate = 0;     // http: a second, 1..1,000,000
  friend bool operator==(const SourceLimits&, const SourceLimits&) = default;
};

// Requests that go to other servers than the listener's. What a rule does not say of its own is as the listener says.
// What happens to messages on their way. Nothing said: of a rule, as its listener.
struct MessageChanges {
  std::optional<std::vector<HeaderEdit>> request_headers;   // at most 64
  std::optional<std::vector<HeaderEdit>> response_headers;  // of servers' answers: at most 64
  std::optional<PathEdit> path_prefix;                      // with an empty prefix: off
  std::optional<FixedAnswer> answer;                        // then there are no servers; no rule has its listener's
  friend bool operator==(const MessageChanges&, const MessageChanges&) = default;
};

struct HttpRule {
  std::string name;          // 1..40 characters, unique in its listener
  std::string domain;        // lower case; "*.example.org": what is below it; empty: any
  std::string url;           // 2..80 characters, begins with "/": how the path begins; empty: any
  std::string server_group;  // empty: it has an answer
  std::optional<Scheduler> scheduler;
  std::optional<std::string> hash_header;       // of scheduler header
  std::optional<SessionCookie> sticky_session;  // of kind off: none, although the listener has one
  std::optional<HealthCheck> health_check;
  MessageChanges changes;
  Position at;
  Position server_group_at;
  friend bool operator==(const HttpRule&, const HttpRule&) = default;
};

// What `protocol: http` adds to a listener, by the file's keys. At least one of a rule's domain and url is given.
struct HttpListener {
  std::chrono::seconds idle_timeout{15};          // 1..60
  std::chrono::seconds request_timeout{60};       // 1..180
  std::chrono::seconds header_timeout{10};        // 1..60
  std::chrono::seconds connect_timeout{5};        // 1..60
  std::chrono::seconds tunnel_timeout{3600};      // 1..86400
  std::chrono::seconds queue_timeout{5};          // of requests that no server has room for: 0..60, 0: none waits
  std::uint32_t queue_length = 1024;              // of such requests, by target and worker: 1..65536
  std::uint32_t max_header_bytes = 32768;         // 1024..65536
  std::uint32_t max_headers = 128;                // 1..256
  std::uint32_t max_url_bytes = 8192;             // 64..65536
  std::uint64_t max_body_bytes = 0;               // 0..2^40, 0: no limit
  std::uint32_t max_requests_per_connection = 0;  // 0: no limit
  ForwardedFor x_forwarded_for = ForwardedFor::append;
  bool x_forwarded_proto = false;
  bool x_forwarded_port = false;
  bool x_forwarded_client_srcport = false;
  bool slb_id = false;
  bool slb_ip = false;
  std::optional<Gzip> gzip;              // none: off
  SessionCookie sticky_session;          // of kind off: none
  std::string hash_header;               // of scheduler header: 1..128 characters
  std::vector<FixedAnswer> error_pages;  // each status once
  std::optional<Redirect> redirect;      // then there are no servers and no rules
  MessageChanges changes;
  std::vector<Prefix> accept_proxy;  // whose connections begin with a PROXY header, at most 1,000; empty: nobody's
  std::vector<HttpRule> rules;
  friend bool operator==(const HttpListener&, const HttpListener&) = default;
};

struct Listener {
  Protocol protocol = Protocol::tcp;  // on the wire
  // Set: `protocol: http`. The mode is fullnat then, since servers see a local address of ours.
  std::optional<HttpListener> http;
  std::uint16_t port = 0;
  bool running = true;
  Mode mode = Mode::nat;
  Scheduler scheduler = Scheduler::wrr;
  std::string server_group;                       // empty: the load balancer's default group, a redirect or an answer
  std::uint16_t server_port = 0;                  // with the default group only
  std::chrono::seconds persistence_timeout{0};    // 0..3600, 0: off
  std::chrono::seconds established_timeout{900};  // 10..900
  std::chrono::seconds slow_start{0};             // 0..3600, 0: off
  OrphanPolicy on_unhealthy = OrphanPolicy::run;
  OrphanPolicy on_removed = OrphanPolicy::run;
  // How long connections of a removed, failed or drained server may go on: 10..900 s; none: without a deadline.
  std::optional<std::chrono::seconds> connection_drain;
  bool strip_timestamps = true;
  WhenFull when_full = WhenFull::reset;
  std::uint32_t bandwidth = 0;                   // Mbit/s of IP packets to clients: 1..5120, 0: unlimited
  std::optional<ListenerAccess> access_control;  // none: everybody may come in
  std::uint32_t max_connection_rate = 0;         // a second, 0..1,000,000, 0: no limit
  std::optional<SourceLimits> per_source;
  // Mode fullnat, tcp: not proxy_v1, and proxy_v2 with strip_timestamps only; http: not toa.
  ClientAddress client_address = ClientAddress::none;
  HealthCheck health_check;
  Position at;
  Position port_at;
  Position bandwidth_at;
  Position server_group_at;  // of `server_group` or `server_port`, whichever names the servers
  friend bool operator==(const Listener&, const Listener&) = default;
};

struct LoadBalancer {
  std::string name;
  Address address;
  bool active = true;
  std::vector<Server> default_group;  // ports are 0
  std::vector<Listener> listeners;
  Position at;
  Position address_at;
  friend bool operator==(const LoadBalancer&, const LoadBalancer&) = default;
};

struct Config {
  Workers workers;
  Memory memory;
  std::vector<Port> ports;
  std::vector<Route> routes;
  std::vector<LocalAddress> local_addresses;
  PortRange local_ports{1024, 65535};
  bool pass_unmatched = false;
  bool reset_unknown_tcp = true;
  std::vector<PortRange> allowed_ports;  // empty: every port
  std::optional<Metrics> metrics;        // none: off
  AccessLog access_log;
  LogLevel log_level = LogLevel::info;
  std::chrono::seconds shutdown_drain{0};  // 0..3600
  std::string cookie_key_file;             // an absolute path; empty: the key in the state folder
  std::vector<LoadBalancer> load_balancers;
  std::vector<ServerGroup> server_groups;
  std::vector<AccessControlList> access_control_lists;
  Position local_ports_at;
  friend bool operator==(const Config&, const Config&) = default;
};

// ---- Questions that several readers of a configuration ask ---------------------------------------------------------

[[nodiscard]] const ServerGroup* find_server_group(const Config& config, std::string_view name);

[[nodiscard]] const AccessControlList* find_access_control_list(const Config& config, std::string_view name);

// Index into Config::ports.
[[nodiscard]] std::optional<std::size_t> find_port(const Config& config, std::string_view name);

// The port that has the longest connected prefix with `address` in it.
[[nodiscard]] std::optional<std::size_t> connected_port(const Config& config, const Address& address);

// Index of the port that a route leaves by or that owns a pool address. Has a value for every object of a validated
// configuration.
[[nodiscard]] std::optional<std::size_t> egress_port(const Config& config, const Route& route);
[[nodiscard]] std::optional<std::size_t> egress_port(const Config& config, const LocalAddress& local);

// Index of the port that packets to a server leave by: the connected network's, else the longest route's; nothing when
// neither leads there.
[[nodiscard]] std::optional<std::size_t> egress_port(const Config& config, const Address& server);

// The servers behind a listener in the file's order, each with its port: the group's, or the default group's with
// the listener's server_port; none behind a redirect. Finds a named group by a linear search; whoever resolves many
// listeners gives the group itself (null: the default group).
[[nodiscard]] std::vector<Server> servers_of(const Config& config, const LoadBalancer& balancer,
                                             const Listener& listener);
[[nodiscard]] std::vector<Server> servers_of(const LoadBalancer& balancer, const Listener& listener,
                                             const ServerGroup* group);

// "tcp" or "udp"; the words of the file for the other enumerations.
[[nodiscard]] std::string_view to_string(Protocol protocol);
// What the file calls the listener's protocol: "tcp", "udp", "http".
[[nodiscard]] std::string_view protocol_name(const Listener& listener);
[[nodiscard]] std::string_view to_string(Mode mode);
[[nodiscard]] std::string_view to_string(Scheduler scheduler);
[[nodiscard]] std::string_view to_string(WhenFull when_full);
[[nodiscard]] std::string_view to_string(ClientAddress how);
[[nodiscard]] std::string_view to_string(LogLevel level);
[[nodiscard]] std::string_view to_string(CheckType type);
[[nodiscard]] std::string_view to_string(AccessType type);

}  // namespace steelyard::control::config

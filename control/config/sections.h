// The parts of the file format, one function each; only parse.cc puts them together. Each reads what it can, reports
// the rest and never stops at the first error.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "control/config/map_reader.h"
#include "control/config/model.h"
#include "control/config/parse.h"

namespace steelyard::control::config {

// parse_network.cc: `ports`, `routes`, `gateway`, `local_addresses`, `local_ports`. Marks lists that lost an entry.
void read_network(MapReader& file, Config& config, Incomplete& incomplete);

// parse_services.cc: `load_balancers`, `server_groups`.
void read_services(MapReader& file, Config& config, Incomplete& incomplete);

// parse_health_check.cc. `usual`: what the file need not say. `protocol`: of the listener; when that could not be read,
// everything that some protocol allows is accepted.
[[nodiscard]] HealthCheck read_health_check(const Node& node, HealthCheck usual, std::optional<Protocol> protocol,
                                            Report& report);

// Of those of layer 4 all but `tch`: a request has no ports of its own.
inline constexpr std::array http_scheduler_choices{
    Choice<Scheduler>{"wrr", Scheduler::wrr}, Choice<Scheduler>{"wlc", Scheduler::wlc},
    Choice<Scheduler>{"rr", Scheduler::rr},   Choice<Scheduler>{"sch", Scheduler::sch},
    Choice<Scheduler>{"uri", Scheduler::uri}, Choice<Scheduler>{"header", Scheduler::header}};

// parse_http.cc: what `protocol: http` adds to a listener. Before its servers are read: with `redirect` it has none.
[[nodiscard]] HttpListener read_http_listener(MapReader& map);
// parse_http.cc: the keys of that, in a listener of another protocol. An unknown one is no reason to refuse them.
void refuse_http_keys(MapReader& map, bool protocol_is_known);

// parse_http_messages.cc: what a listener or a rule changes of messages.
[[nodiscard]] MessageChanges read_message_changes(MapReader& map);
// parse_http_messages.cc: pages instead of ours.
[[nodiscard]] std::vector<FixedAnswer> read_error_pages(MapReader& map);
// parse_http_messages.cc: the name of a header. Nothing: none, which has been reported.
[[nodiscard]] std::optional<std::string> read_header_name(const Node& node, std::string_view what, Report& report);
// parse_http_messages.cc: no field may be written by two settings. `at`: of who changes.
void check_forwarded_fields(const MessageChanges& changes, const HttpListener& http, Position at, Report& report);
// parse_gzip.cc: `gzip` of an http listener.
[[nodiscard]] std::optional<Gzip> read_gzip(const Node& node, Report& report);

// parse_access.cc: `access_control_lists`, and `access_control` of a listener.
void read_access_control_lists(MapReader& file, Config& config, Incomplete& incomplete);
[[nodiscard]] std::optional<ListenerAccess> read_access_control(const Node& node, Report& report);
// parse_access.cc: `accept_proxy` of an http listener.
[[nodiscard]] std::vector<Prefix> read_accept_proxy(const Node& node, Report& report);
// parse_access.cc: limits of a listener for its clients.
void read_client_limits(MapReader& map, Listener& listener);

}  // namespace steelyard::control::config

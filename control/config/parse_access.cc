// Who may use a listener, and how much: the lists of sources, what a listener makes of them, and its limits.
#include <array>
#include <string>
#include <string_view>

#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

constexpr std::array access_choices{Choice<AccessType>{"white", AccessType::white},
                                    Choice<AccessType>{"black", AccessType::black}};

// A worker counts up to four million new connections a second (l4/rate_window.h).
constexpr std::uint32_t most_clients = 1'000'000;

bool is_printable(char character) {
  return character >= ' ' && character <= '~';
}

// An entry alone, or a mapping of it and a comment.
void read_entry(const Node& node, AccessControlList& list, Report& report) {
  constexpr std::string_view what = "an entry of the list";
  AccessEntry entry;
  std::optional<Prefix> network;
  if (node.kind == Node::Kind::map) {
    MapReader map(node, what, report);
    if (const Node* given = map.require("entry")) {
      network = read_network_or_address(*given, "`entry`", report);
    }
    if (const Node* comment = map.find("comment")) {
      entry.comment = read_text(*comment, "`comment`", {1, 256}, is_printable, "printable ASCII", report).value_or("");
    }
    map.finish();
  } else {
    network = read_network_or_address(node, what, report);
  }
  if (network) {
    entry.network = *network;
    list.entries.push_back(std::move(entry));
  }
}

AccessControlList read_list(const Node& node, Report& report) {
  AccessControlList list;
  MapReader map(node, "an access control list", report);
  list.at = map.at();
  map.required_name("name", list.name);
  if (const Node* entries = map.require("entries")) {
    if (entries->kind != Node::Kind::sequence) {
      report.error(entries->at, "`entries` is " + shown(*entries) + "; allowed: a list");
    } else if (entries->children.size() > max_access_entries) {
      report.error(entries->at, "`entries` has " + std::to_string(entries->children.size()) +
                                    " entries; allowed: at most " + std::to_string(max_access_entries) +
                                    " (a listener may name several lists)");
    } else {
      for (const Node& entry : entries->children) {
        read_entry(entry, list, report);
      }
    }
  }
  map.finish();
  return list;
}

void read_source_limits(MapReader& map, SourceLimits& limits, bool of_http) {
  map.integer("max_connections", limits.max_connections, {0, most_clients});
  map.integer("max_connection_rate", limits.max_connection_rate, {0, most_clients});
  if (of_http) {
    map.integer("max_request_rate", limits.max_request_rate, {0, most_clients});
  } else {
    map.has_no_place("max_request_rate", "it is for listeners of `protocol: http`");
  }
  map.integer("ipv6_prefix", limits.ipv6_prefix, {32, 128});
  if (limits == SourceLimits{.ipv6_prefix = limits.ipv6_prefix}) {
    map.has_no_effect("ipv6_prefix", "there is no limit");
  }
  map.finish();
}

}  // namespace

void read_access_control_lists(MapReader& file, Config& config, Incomplete& incomplete) {
  const std::size_t errors = file.report().errors();
  for (const Node& node : file.list("access_control_lists")) {
    config.access_control_lists.push_back(read_list(node, file.report()));
  }
  incomplete.access_control_lists = file.report().errors() != errors;
}

std::optional<ListenerAccess> read_access_control(const Node& node, Report& report) {
  ListenerAccess access;
  MapReader map(node, "`access_control`", report);
  access.at = map.at();
  bool complete = map.required_choice("type", access.type, access_choices);
  if (const Node* lists = map.require("lists")) {
    if (lists->kind != Node::Kind::sequence || lists->children.empty()) {
      report.error(lists->at, "`lists` is " + (lists->kind == Node::Kind::sequence ? "an empty list" : shown(*lists)) +
                                  "; allowed: a list of names of `access_control_lists`");
      complete = false;
    } else {
      for (const Node& name : lists->children) {
        if (auto read = read_name(name, "an entry of `lists`", report)) {
          access.lists.push_back({*std::move(read), name.at});
        }
      }
    }
  }
  map.finish();
  complete = complete && !access.lists.empty();
  return complete ? std::optional(std::move(access)) : std::nullopt;
}

std::vector<Prefix> read_accept_proxy(const Node& node, Report& report) {
  constexpr std::string_view allowed = "; allowed: a list of the networks and addresses of proxies, at most ";
  std::vector<Prefix> proxies;
  MapReader map(node, "`accept_proxy`", report);
  const Node* from = map.require("from");
  map.finish();
  if (from == nullptr) {
    return proxies;
  }
  const std::size_t count = from->kind == Node::Kind::sequence ? from->children.size() : 0;
  if (count == 0 || count > max_access_entries) {
    const std::string is = from->kind != Node::Kind::sequence ? "is " + shown(*from)
                           : count == 0                       ? "is an empty list"
                                                              : "has " + std::to_string(count) + " entries";
    report.error(from->at, "`from` " + is + std::string(allowed) + std::to_string(max_access_entries));
    return proxies;
  }
  for (const Node& entry : from->children) {
    const auto network = read_network_or_address(entry, "an entry of `from`", report);
    if (network && network->length == 0) {
      report.warning(entry.at, shown(entry) +
                                   " in `from` of `accept_proxy`: every client may say that it is another "
                                   "one; name the proxies alone");
    }
    if (network) {
      proxies.push_back(*network);
    }
  }
  return proxies;
}

void read_client_limits(MapReader& map, Listener& listener) {
  map.integer("max_connection_rate", listener.max_connection_rate, {0, most_clients});
  const Node* node = map.find("per_source");
  if (node == nullptr) {
    return;
  }
  SourceLimits limits;
  MapReader inner(*node, "`per_source`", map.report());
  read_source_limits(inner, limits, listener.http.has_value());
  if (limits != SourceLimits{.ipv6_prefix = limits.ipv6_prefix}) {
    listener.per_source = limits;
  }
}

}  // namespace steelyard::control::config

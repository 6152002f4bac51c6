// `steelyard status`: load balancers, their listeners, and each listener's servers; below a server that is down or
// unknown, why. Then the server groups.
#include <algorithm>

#include "control/cli/fields.h"
#include "control/cli/render.h"
#include "control/cli/table.h"
#include "control/config/diagnostic.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using Align = Table::Align;

constexpr std::size_t longest_line = 400;

std::string line(std::string_view content) {
  return config::printable(content, longest_line) + '\n';
}

// "50", or "0 (50)" when it is not what the file says; "*" marks what `steelyard server` has changed.
std::string weight(const json::object& server) {
  std::string out = text(server, "weight");
  if (has(server, "configured_weight") && number(server, "configured_weight") != number(server, "weight")) {
    out += " (" + text(server, "configured_weight") + ')';
  }
  return out;
}

// "5", or "5/20" of a server that takes at most 20.
std::string connections(const json::object& server) {
  const std::string now = text(server, "connections");
  return number(server, "max_connections") == 0 ? now : now + '/' + text(server, "max_connections");
}

std::string since(const json::object& server, std::string_view state) {
  std::string out = std::string(state) + " since " + text(server, "since");
  if (has(server, "since_s")) {
    out += " (" + duration(number(server, "since_s")) + " ago)";
  }
  return out + ": ";
}

// The last answer may be a good one already, since a server comes back only after several of them, and the check may be
// another one than that which took it out.
std::string why_down(const json::object& server) {
  std::string why = since(server, "down");
  const bool told = has(server, "down_because");
  const bool changed = told && text(server, "down_check") != text(server, "check");
  if (told) {
    why += "check " + text(server, "down_check") + " failed: " + text(server, "down_because") + "; ";
  }
  if (!told || changed) {
    why += (changed ? "now check " : "check ") + text(server, "check") + ", ";
  }
  why += "last answer";
  if (has(server, "last_time_s")) {
    why += ' ' + duration(number(server, "last_time_s")) + " ago";
  }
  why += ": " + text(server, "last_result");
  if (has(server, "local_error")) {
    why += " (probes cannot be made since " + text(server, "local_error_since") + ')';
  }
  return why;
}

std::string why_unknown(const json::object& server) {
  return since(server, "unknown") + text(server, "unknown_because") + " (check " + text(server, "check") +
         "); used meanwhile";
}

std::string servers_table(const json::object& listener) {
  const json::array& servers = list(listener, "servers");
  // Of a primary/secondary group the role counts, and weights say nothing.
  const bool roles = !servers.empty() && has(as_object(servers.front()), "role");
  Table table({{"SERVER"},
               {"ADDRESS"},
               roles ? Table::Column{"ROLE"} : Table::Column{"WEIGHT", Align::right},
               {"ADMIN"},
               {"HEALTH"},
               {"SINCE", Align::right},
               {"CONNECTIONS", Align::right},
               {"TOTAL", Align::right}},
              4);
  for (const json::value& each : servers) {
    const json::object& server = as_object(each);
    const std::string name = text(server, "name");
    table.add(
        {name.empty() ? "-" : name, endpoint(text(server, "address"), number(server, "port")),
         roles ? text(server, "role") : weight(server),
         text(server, "admin") + (flag(server, "override") ? "*" : "") + (flag(server, "backup") ? ", backup" : ""),
         text(server, "health"), has(server, "since_s") ? duration(number(server, "since_s")) : "-",
         connections(server), text(server, "total_connections")});
    if (text(server, "health") == "down") {
      table.note(why_down(server));
    } else if (text(server, "health") == "unknown") {
      table.note(why_unknown(server));
    }
  }
  return table.empty() ? line("    no servers") : table.str();
}

// "of one source 100 connections, 20 new a second"; empty: there is no such limit.
std::string source_limits(const json::object& limits) {
  std::string out;
  if (number(limits, "max_connections") != 0) {
    out = counted(number(limits, "max_connections"), "connection", "connections");
  }
  if (number(limits, "max_connection_rate") != 0) {
    out += (out.empty() ? "" : ", ") + text(limits, "max_connection_rate") + " new a second";
  }
  if (number(limits, "max_request_rate") != 0) {
    out += (out.empty() ? "" : ", ") + text(limits, "max_request_rate") + " requests a second";
  }
  return out.empty() ? out : "of one source (IPv6 /" + text(limits, "ipv6_prefix") + ") " + out;
}

// Who may come in, and who could not; empty: everybody.
std::string listener_rules(const json::object& listener) {
  std::string out;
  if (const json::object& access = member(member(listener, "rules"), "access_control"); !access.empty()) {
    std::string names;
    for (const json::value& name : list(access, "lists")) {
      names += (names.empty() ? "" : ", ") + text(name);
    }
    out += line("    " + text(access, "type") + " list " + names);
  }
  const json::object& rules = member(listener, "rules");
  std::string limits;
  if (number(rules, "max_connection_rate") != 0) {
    limits = text(rules, "max_connection_rate") + " new connections a second";
  }
  if (const std::string of_source = source_limits(member(rules, "per_source")); !of_source.empty()) {
    limits += (limits.empty() ? "" : "; ") + of_source;
  }
  if (!limits.empty()) {
    out += line("    at most " + limits);
  }
  if (const std::string refused = nonzero(member(listener, "refused")); !refused.empty()) {
    out += line("    refused: " + refused);
  }
  return out;
}

// What an http listener does with requests beside choosing a server; empty: nothing.
std::string http_words(const json::object& listener) {
  std::string words;
  if (has(listener, "clients")) {
    words += ", " + counted(number(listener, "clients"), "client", "clients");
  }
  if (const json::array& proxies = list(listener, "accept_proxy"); !proxies.empty()) {
    constexpr std::size_t named = 3;
    words += ", PROXY headers from ";
    for (std::size_t place = 0; place < std::min(proxies.size(), named); ++place) {
      words += (place == 0 ? "" : ", ") + text(proxies[place]);
    }
    words += proxies.size() > named ? " and " + std::to_string(proxies.size() - named) + " more" : "";
  }
  if (const std::string told = text(listener, "client_address"); told.starts_with("proxy")) {
    words += ", " + told + " to servers";
  }
  const json::object& session = member(listener, "sticky_session");
  if (const std::string type = text(session, "type"); has(session, "cookie")) {
    words += ", cookie " + text(session, "cookie") +
             (type == "insert" ? " for " + text(session, "cookie_timeout") + " s" : " of the servers");
  }
  return words;
}

std::string listener_head(const json::object& listener) {
  std::string head = "  " + text(listener, "protocol") + '/' + text(listener, "port") +
                     (has(listener, "rule") ? " rule " + text(listener, "rule") : "") + ' ' + text(listener, "status");
  if (const json::object& redirect = member(listener, "redirect"); !redirect.empty()) {
    return line(head + ", redirect " + text(redirect, "status") + " to " + text(redirect, "scheme") + ':' +
                text(redirect, "port") + http_words(listener));
  }
  if (has(listener, "answer")) {
    return line(head + ", answers " + text(listener, "answer") + http_words(listener));
  }
  head += (has(listener, "mode") ? ", " + text(listener, "mode") : "") + ", " + text(listener, "scheduler") +
          ", group " + text(listener, "group") + http_words(listener);
  if (const std::uint64_t persistence = number(listener, "persistence_timeout"); persistence != 0) {
    head += ", persistence " + std::to_string(persistence) + " s";
  }
  if (const std::uint64_t bandwidth = number(listener, "bandwidth"); bandwidth != 0) {
    head += ", at most " + std::to_string(bandwidth) + " Mbit/s";
  }
  return line(head + ", " + counted(number(listener, "connections"), "connection", "connections"));
}

std::string groups_table(const json::object& status) {
  Table table(
      {{"GROUP"}, {"SERVERS", Align::right}, {"DOWN", Align::right}, {"CONNECTIONS", Align::right}, {"USED BY"}});
  for (const json::value& each : list(status, "groups")) {
    const json::object& group = as_object(each);
    const json::array& users = list(group, "used_by");
    constexpr std::size_t named = 3;
    std::string used_by;
    for (std::size_t place = 0; place < std::min(users.size(), named); ++place) {
      used_by += (place == 0 ? "" : ", ") + (users[place].is_string() ? std::string(users[place].get_string()) : "-");
    }
    if (users.size() > named) {
      used_by += " and " + std::to_string(users.size() - named) + " more";
    }
    table.add({text(group, "name"), text(group, "servers"), text(group, "servers_down"), text(group, "connections"),
               users.empty() ? "-" : used_by});
  }
  return table.empty() ? std::string{} : '\n' + table.str();
}

}  // namespace

std::string render_status(const json::object& status) {
  std::string out = line("steelyard " + text(status, "version") + ", up " + duration(number(status, "uptime_s")) +
                         ", configuration " + text(status, "config_file") + " (generation " +
                         text(status, "generation") + "), " + counted(number(status, "workers"), "worker", "workers"));
  if (const std::uint64_t overrides = number(status, "overrides"); overrides != 0) {
    out += line(counted(overrides, "server", "servers") + " changed by `steelyard server`, until the next reload (*)");
  }
  if (const json::value* memory = status.if_contains("memory"); memory != nullptr && memory->is_object()) {
    const auto mebibytes = [&](const char* of) {
      return std::to_string(number(memory->get_object(), of) >> 20U) + " MiB";
    };
    out += line("memory: flow tables " + mebibytes("flow_tables") + ", connections " + mebibytes("connection_tables") +
                ", packet buffers " + mebibytes("packet_buffers"));
  }
  const json::array& balancers = list(status, "load_balancers");
  if (balancers.empty()) {
    out += line("no load balancers");
  }
  for (const json::value& each : balancers) {
    const json::object& balancer = as_object(each);
    out += '\n' + line(text(balancer, "name") + ' ' + text(balancer, "address") + ' ' + text(balancer, "status"));
    for (const json::value& listener : list(balancer, "listeners")) {
      out += listener_head(as_object(listener));
      out += listener_rules(as_object(listener));
      out += has(as_object(listener), "redirect") || has(as_object(listener), "answer")
                 ? ""
                 : servers_table(as_object(listener));
    }
  }
  return out + groups_table(status);
}

}  // namespace steelyard::control::cli

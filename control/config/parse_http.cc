// Listeners of `protocol: http`: what they add to a listener's keys, and the keys that mean nothing to them.
#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

constexpr std::array forwarded_for_choices{Choice<ForwardedFor>{"append", ForwardedFor::append},
                                           Choice<ForwardedFor>{"replace", ForwardedFor::replace},
                                           Choice<ForwardedFor>{"off", ForwardedFor::off}};
constexpr std::array session_choices{Choice<SessionCookie::Kind>{"insert", SessionCookie::Kind::insert},
                                     Choice<SessionCookie::Kind>{"server", SessionCookie::Kind::rewrite}};
constexpr std::array same_site_choices{Choice<SameSite>{"lax", SameSite::lax},
                                       Choice<SameSite>{"strict", SameSite::strict},
                                       Choice<SameSite>{"none", SameSite::none}};
constexpr std::array scheme_choices{Choice<bool>{"http", false}, Choice<bool>{"https", true}};
constexpr std::array redirect_statuses{301U, 302U, 303U, 307U, 308U};
constexpr std::uint64_t most_body_bytes = std::uint64_t{1} << 40U;

// Everything that an http listener has beside other listeners' keys.
constexpr std::array<std::string_view, 29> http_keys{"idle_timeout",
                                                     "request_timeout",
                                                     "header_timeout",
                                                     "connect_timeout",
                                                     "tunnel_timeout",
                                                     "queue_timeout",
                                                     "queue_length",
                                                     "max_header_bytes",
                                                     "max_headers",
                                                     "max_url_bytes",
                                                     "max_body_bytes",
                                                     "max_requests_per_connection",
                                                     "x_forwarded_for",
                                                     "x_forwarded_proto",
                                                     "x_forwarded_port",
                                                     "x_forwarded_client_srcport",
                                                     "slb_id",
                                                     "slb_ip",
                                                     "gzip",
                                                     "sticky_session",
                                                     "redirect",
                                                     "rules",
                                                     "request_headers",
                                                     "response_headers",
                                                     "path_prefix",
                                                     "answer",
                                                     "error_pages",
                                                     "hash_header",
                                                     "accept_proxy"};

struct Reason {
  std::string_view key;
  std::string_view why;
};
// Of layer 4.
constexpr std::array foreign_keys{
    Reason{"mode", "an http listener always opens connections of its own to the servers, from `local_addresses`"},
    Reason{"persistence_timeout", "clients of an http listener keep their server by `sticky_session`"},
    Reason{"strip_timestamps", "servers of an http listener see connections of our own"},
    Reason{"established_timeout",
           "connections of an http listener end by `idle_timeout`, `request_timeout` and `tunnel_timeout`"},
    Reason{"when_full",
           "a request that no server has room for waits for `queue_timeout`, and is answered with 503 then"}};

// What a redirect leaves without a use.
constexpr std::array<std::string_view, 23> idle_with_redirect{"connection_drain", "on_unhealthy",
                                                              "on_removed",       "gzip",
                                                              "hash_header",      "request_headers",
                                                              "response_headers", "path_prefix",
                                                              "queue_timeout",    "queue_length",
                                                              "scheduler",        "sticky_session",
                                                              "health_check",     "slow_start",
                                                              "connect_timeout",  "tunnel_timeout",
                                                              "x_forwarded_for",  "x_forwarded_proto",
                                                              "x_forwarded_port", "x_forwarded_client_srcport",
                                                              "slb_id",           "slb_ip",
                                                              "client_address"};

bool is_word(const Node& node, const auto&... words) {
  return node.kind == Node::Kind::scalar && node.plain && ((node.scalar == words) || ...);
}

bool is_name_character(char character) {
  return is_letter(character) || is_digit(character) || character == '-' || character == '_';
}

bool is_rule_name_character(char character) {
  return is_name_character(character) || character == '.' || character == '/';
}

// Of a path (RFC 3986, section 3.3), percent-encoded octets among them.
bool is_path_character(char character) {
  constexpr std::string_view marks = "-._~!$&'()*+,;=:@%/";
  return is_letter(character) || is_digit(character) || marks.find(character) != std::string_view::npos;
}

// A name in lower case, with "*." in front of it or without (RFC 1123, section 2.1; with "_", which hosts do have).
bool is_domain(std::string_view text) {
  constexpr std::size_t longest = 253;
  constexpr std::size_t longest_label = 63;
  if (text.size() > longest) {
    return false;
  }
  if (text.starts_with("*.")) {
    text.remove_prefix(2);
  }
  for (bool last = false; !last;) {
    const std::size_t end = text.find('.');
    last = end == std::string_view::npos;
    const std::string_view label = text.substr(0, end);
    if (label.empty() || label.size() > longest_label || label.front() == '-' || label.back() == '-' ||
        !std::ranges::all_of(label, is_name_character)) {
      return false;
    }
    text.remove_prefix(last ? text.size() : end + 1);
  }
  return true;
}

std::string read_domain(const Node& node, Report& report) {
  std::string domain = node.kind == Node::Kind::scalar ? node.scalar : std::string{};
  std::ranges::transform(domain, domain.begin(), [](char character) {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
  });
  if (is_domain(domain)) {
    return domain;
  }
  report.error(node.at, "`domain` is " + shown(node) +
                            "; allowed: a name such as www.example.org, or *.example.org for what is below it: at most "
                            "253 characters, in labels of 1..63 letters, digits, - and _");
  return {};
}

std::string read_url(const Node& node, Report& report) {
  constexpr std::string_view rule = "those of a path, without query, starting with / and not / alone";
  if (node.kind == Node::Kind::scalar && (!node.scalar.starts_with('/') || node.scalar.size() < 2)) {
    report.error(node.at, "`url` is " + shown(node) + "; allowed: 2..80 characters: " + std::string(rule));
    return {};
  }
  return read_text(node, "`url`", {2, 80}, is_path_character, rule, report).value_or("");
}

void read_cookie_name(MapReader& map, SessionCookie& session) {
  const bool ours = session.kind == SessionCookie::Kind::insert;
  if (const Node* cookie = ours ? map.find("cookie") : map.require("cookie")) {
    session.name = read_text(*cookie, "`cookie`", {1, 200}, is_name_character, "letters, digits, - and _", map.report())
                       .value_or(session.name);
  }
}

// `off` switches off for a rule what its listener has.
SessionCookie read_sticky_session(const Node& node, Report& report) {
  SessionCookie session;
  if (is_word(node, "off", "false", "no")) {
    return session;
  }
  MapReader map(node, "`sticky_session`", report);
  const bool has_type = map.required_choice("type", session.kind, session_choices);
  if (!has_type) {
    // Which keys belong here is unknown.
    for (const char* key : {"cookie_timeout", "cookie", "strict", "drain", "same_site"}) {
      map.find(key);
    }
    map.finish();
    return session;
  }
  const bool ours = session.kind == SessionCookie::Kind::insert;
  if (ours) {
    map.require("cookie_timeout");
  }
  map.seconds("cookie_timeout", session.timeout, {1, 86400});
  read_cookie_name(map, session);
  map.boolean("strict", session.strict);
  map.boolean("drain", session.drain);
  map.choice("same_site", session.same_site, same_site_choices);
  if (!ours) {
    for (const char* key : {"cookie_timeout", "strict", "same_site"}) {
      map.has_no_effect(key, "the server makes its cookie; only type insert uses it");
    }
  } else if (session.same_site == SameSite::none) {
    report.warning(map.position_of("same_site"),
                   "browsers take a cookie with `same_site: none` over HTTPS only, and this listener speaks HTTP");
  }
  map.finish();
  return session;
}

Redirect read_redirect(const Node& node, Report& report) {
  Redirect redirect;
  MapReader map(node, "`redirect`", report);
  if (const Node* status = map.find("status")) {
    const auto is_that = [status](unsigned code) { return is_word(*status, std::to_string(code)); };
    const auto found = std::ranges::find_if(redirect_statuses, is_that);
    if (found == redirect_statuses.end()) {
      report.error(status->at, "`status` is " + shown(*status) + "; allowed: 301, 302, 303, 307, 308");
    } else {
      redirect.status = static_cast<std::uint16_t>(*found);
    }
  }
  map.choice("scheme", redirect.to_https, scheme_choices);
  redirect.port = redirect.to_https ? 443 : 80;
  map.integer("port", redirect.port, any_port);
  map.finish();
  return redirect;
}

std::optional<std::string> read_hash_header(MapReader& map) {
  const Node* name = map.find("hash_header");
  return name != nullptr ? read_header_name(*name, "`hash_header`", map.report()) : std::nullopt;
}

HttpRule read_rule(const Node& node, Report& report) {
  HttpRule rule;
  MapReader map(node, "a rule", report);
  rule.at = map.at();
  if (const Node* name = map.require("name")) {
    rule.name =
        read_text(*name, "`name`", {1, 40}, is_rule_name_character, "letters, digits and . _ - /", report).value_or("");
  }
  if (const Node* domain = map.find("domain")) {
    rule.domain = read_domain(*domain, report);
  }
  if (const Node* url = map.find("url")) {
    rule.url = read_url(*url, report);
  }
  if (!map.has("domain") && !map.has("url")) {
    report.error(map.at(), "a rule says neither `domain` nor `url`; allowed: one of them, or both");
  }
  rule.changes = read_message_changes(map);
  if (rule.changes.answer) {
    map.has_no_place("server_group", "a rule with `answer` sends no request to a server");
  } else if (const Node* group = map.find("server_group")) {
    rule.server_group_at = group->at;
    rule.server_group = read_name(*group, "`server_group`", report).value_or("");
  } else {
    report.error(map.at(), "a rule does not say what becomes of its requests; allowed: `server_group`, or `answer`");
  }
  if (Scheduler scheduler{}; map.choice("scheduler", scheduler, http_scheduler_choices)) {
    rule.scheduler = scheduler;
  }
  rule.hash_header = read_hash_header(map);
  if (const Node* session = map.find("sticky_session")) {
    rule.sticky_session = read_sticky_session(*session, report);
  }
  if (const Node* check = map.find("health_check")) {
    rule.health_check = read_health_check(*check, HealthCheck::for_http(), Protocol::tcp, report);
  }
  map.finish();
  return rule;
}

void read_limits(MapReader& map, HttpListener& http) {
  map.seconds("idle_timeout", http.idle_timeout, {1, 60});
  map.seconds("request_timeout", http.request_timeout, {1, 180});
  map.seconds("header_timeout", http.header_timeout, {1, 60});
  map.seconds("connect_timeout", http.connect_timeout, {1, 60});
  map.seconds("tunnel_timeout", http.tunnel_timeout, {1, 86400});
  map.seconds("queue_timeout", http.queue_timeout, {0, 60});
  map.integer("queue_length", http.queue_length, {1, 65536});
  map.integer("max_header_bytes", http.max_header_bytes, {1024, 65536});
  map.integer("max_headers", http.max_headers, {1, 256});
  map.integer("max_url_bytes", http.max_url_bytes, {64, 65536});
  map.integer("max_body_bytes", http.max_body_bytes, {0, most_body_bytes});
  map.integer("max_requests_per_connection", http.max_requests_per_connection,
              {0, std::numeric_limits<std::uint32_t>::max()});
}

// A switch, too, as the other ones are.
void read_forwarded_for(MapReader& map, HttpListener& http) {
  const Node* node = map.find("x_forwarded_for");
  if (node == nullptr) {
    return;
  }
  if (is_word(*node, "true", "on", "yes")) {
    http.x_forwarded_for = ForwardedFor::append;
  } else if (is_word(*node, "false", "no")) {
    http.x_forwarded_for = ForwardedFor::off;
  } else {
    map.choice("x_forwarded_for", http.x_forwarded_for, forwarded_for_choices);
  }
}

}  // namespace

HttpListener read_http_listener(MapReader& map) {
  HttpListener http;
  for (const Reason& foreign : foreign_keys) {
    map.has_no_place(foreign.key, foreign.why);
  }
  read_limits(map, http);
  read_forwarded_for(map, http);
  map.boolean("x_forwarded_proto", http.x_forwarded_proto);
  map.boolean("x_forwarded_port", http.x_forwarded_port);
  map.boolean("x_forwarded_client_srcport", http.x_forwarded_client_srcport);
  map.boolean("slb_id", http.slb_id);
  map.boolean("slb_ip", http.slb_ip);
  if (const Node* gzip = map.find("gzip")) {
    http.gzip = read_gzip(*gzip, map.report());
  }
  if (const Node* proxies = map.find("accept_proxy")) {
    http.accept_proxy = read_accept_proxy(*proxies, map.report());
  }
  if (const Node* session = map.find("sticky_session")) {
    http.sticky_session = read_sticky_session(*session, map.report());
  }
  http.error_pages = read_error_pages(map);
  if (const Node* redirect = map.find("redirect")) {
    http.redirect = read_redirect(*redirect, map.report());
    for (const char* key : {"rules", "answer"}) {
      map.has_no_place(key, "a listener with `redirect` sends no request to a server");
    }
    for (const std::string_view key : idle_with_redirect) {
      map.has_no_effect(key, "the listener answers everything by `redirect`");
    }
    return http;
  }
  http.hash_header = read_hash_header(map).value_or("");
  http.changes = read_message_changes(map);
  check_forwarded_fields(http.changes, http, map.at(), map.report());
  for (const Node& rule : map.list("rules")) {
    http.rules.push_back(read_rule(rule, map.report()));
    check_forwarded_fields(http.rules.back().changes, http, http.rules.back().at, map.report());
  }
  return http;
}

void refuse_http_keys(MapReader& map, bool protocol_is_known) {
  for (const std::string_view key : http_keys) {
    if (protocol_is_known) {
      map.has_no_place(key, "it is for listeners of `protocol: http`");
    } else if (map.has(key)) {
      map.find(key);
    }
  }
}

}  // namespace steelyard::control::config

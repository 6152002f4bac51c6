// `health_check` of listeners and of rules.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

constexpr std::array method_choices{Choice<CheckMethod>{"head", CheckMethod::head},
                                    Choice<CheckMethod>{"get", CheckMethod::get}};
constexpr std::array any_check_choices{Choice<CheckType>{"tcp", CheckType::tcp},
                                       Choice<CheckType>{"http", CheckType::http},
                                       Choice<CheckType>{"udp", CheckType::udp}};
constexpr std::array tcp_check_choices{Choice<CheckType>{"tcp", CheckType::tcp},
                                       Choice<CheckType>{"http", CheckType::http}};
constexpr std::array udp_check_choices{Choice<CheckType>{"udp", CheckType::udp}};
constexpr std::array<std::string_view, 4> status_words{"2xx", "3xx", "4xx", "5xx"};

bool is_path_character(char character) {
  constexpr std::string_view marks = "-/.%?#&";
  return is_letter(character) || is_digit(character) || marks.find(character) != std::string_view::npos;
}

bool is_host_character(char character) {
  return is_letter(character) || is_digit(character) || character == '.' || character == '-';
}

bool is_word_character(char character) {
  return is_letter(character) || is_digit(character);
}

void read_status_classes(MapReader& map, StatusClasses& status) {
  const Node* node = map.find("status");
  if (node == nullptr) {
    return;
  }
  const bool is_list = node->kind == Node::Kind::sequence;
  if (is_list && node->children.empty()) {
    map.report().error(node->at, "`status` is an empty list; allowed: some of " + word_list(status_words));
    return;
  }
  status.reset();
  for (const Node& element : is_list ? std::span<const Node>(node->children) : std::span(node, 1)) {
    if (const auto index = read_word(element, "an entry of `status`", status_words, {}, map.report())) {
      status.set(*index + 2);
    }
  }
}

void read_http_fields(MapReader& map, HealthCheck& check) {
  map.choice("method", check.method, method_choices);
  if (const Node* path = map.find("path")) {
    constexpr std::string_view rule = "letters, digits and - / . % ? # &, starting with /";
    if (path->kind == Node::Kind::scalar && !path->scalar.starts_with('/')) {
      map.report().error(path->at, "`path` is " + shown(*path) + "; allowed: 1..80 characters: " + std::string(rule));
    } else if (auto text = read_text(*path, "`path`", {1, 80}, is_path_character, rule, map.report())) {
      check.path = *std::move(text);
    }
  }
  if (const Node* host = map.find("host")) {
    check.host =
        read_text(*host, "`host`", {1, 80}, is_host_character, "letters, digits, . and -", map.report()).value_or("");
  }
  read_status_classes(map, check.status);
}

void read_udp_fields(MapReader& map, HealthCheck& check) {
  constexpr std::string_view rule = "letters and digits";
  if (const Node* request = map.find("request")) {
    check.request = read_text(*request, "`request`", {1, 64}, is_word_character, rule, map.report()).value_or("");
  }
  if (const Node* expect = map.find("expect")) {
    check.expect = read_text(*expect, "`expect`", {1, 64}, is_word_character, rule, map.report()).value_or("");
  }
}

void warn_of_idle_fields(MapReader& map, CheckType type) {
  if (type != CheckType::http) {
    for (const std::string_view key : {"method", "path", "host", "status"}) {
      map.has_no_effect(key, "only a check of type http uses it");
    }
  }
  if (type != CheckType::udp) {
    for (const std::string_view key : {"request", "expect"}) {
      map.has_no_effect(key, "only a check of type udp uses it");
    }
  }
}

}  // namespace

HealthCheck read_health_check(const Node& node, HealthCheck usual, std::optional<Protocol> protocol, Report& report) {
  HealthCheck check = std::move(usual);
  MapReader map(node, "`health_check`", report);
  check.at = map.at();
  map.boolean("enabled", check.enabled);
  if (!protocol) {
    map.choice("type", check.type, any_check_choices);
  } else if (protocol == Protocol::tcp) {
    map.choice("type", check.type, tcp_check_choices);
  } else {
    map.choice("type", check.type, udp_check_choices);
  }
  map.seconds("interval", check.interval, {1, 50});
  map.seconds("timeout", check.timeout, {1, 300});
  check.timeout = std::max(check.timeout, check.interval);
  const Range thresholds{protocol == Protocol::tcp ? 2U : 1U, 10};
  map.integer("healthy_threshold", check.healthy_threshold, thresholds);
  map.integer("unhealthy_threshold", check.unhealthy_threshold, thresholds);
  std::uint16_t port = 0;
  if (map.integer("port", port, any_port)) {
    check.port = port;
  }
  read_http_fields(map, check);
  read_udp_fields(map, check);
  warn_of_idle_fields(map, check.type);
  map.finish();
  return check;
}

}  // namespace steelyard::control::config

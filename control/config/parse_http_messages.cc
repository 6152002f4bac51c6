// What an http listener or a rule of it does to messages: fields, the path, an answer of its own.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

// Of connections and of framing: we write them as each connection needs them (RFC 9110 section 7.6.1).
constexpr std::array<std::string_view, 9> our_own_fields{"connection", "content-length",    "expect",
                                                         "keep-alive", "proxy-connection",  "te",
                                                         "trailer",    "transfer-encoding", "upgrade"};
constexpr std::size_t most_edits = 64;
constexpr std::size_t most_body_octets = 16'384;

enum class Message : std::uint8_t { request, response };

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char character) {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
  });
  return lower;
}

// RFC 9110 section 5.6.2.
bool is_token_character(char character) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return is_letter(character) || is_digit(character) || marks.find(character) != std::string_view::npos;
}

bool is_value_character(char character) {
  return character == '\t' || (character >= ' ' && character <= '~');
}

// RFC 3986 section 3.3; not `?`, which would begin a query.
bool is_path_character(char character) {
  constexpr std::string_view marks = "-._~!$&'()*+,;=:@%/";
  return is_letter(character) || is_digit(character) || marks.find(character) != std::string_view::npos;
}

std::string read_value(const Node& node, Report& report) {
  constexpr std::string_view rule = "visible ones of ASCII, spaces and tabs, neither in front nor at the end";
  const auto is_blank = [](char character) { return character == ' ' || character == '\t'; };
  const std::string& text = node.scalar;
  if (node.kind == Node::Kind::scalar && !text.empty() && (is_blank(text.front()) || is_blank(text.back()))) {
    report.error(node.at, "`value` is " + shown(node) + "; allowed: 0..4096 characters: " + std::string(rule));
    return {};
  }
  return read_text(node, "`value`", {0, 4096}, is_value_character, rule, report).value_or("");
}

void check_name(const HeaderEdit& edit, const Node& name, Message message, Report& report) {
  const std::string lower = in_lower_case(edit.name);
  if (std::ranges::find(our_own_fields, lower) != our_own_fields.end()) {
    report.error(name.at, shown(name) +
                              " belongs to a connection or to a body's framing, which Steelyard writes itself; "
                              "allowed: other fields");
  } else if (lower == "host" && (message == Message::response || edit.kind != HeaderEdit::Kind::set)) {
    report.error(name.at, "a request has one Host; allowed: to `set` it in `request_headers`");
  }
}

HeaderEdit read_edit(const Node& node, Message message, Report& report) {
  constexpr std::array kinds{std::pair{"add", HeaderEdit::Kind::add}, std::pair{"set", HeaderEdit::Kind::set},
                             std::pair{"remove", HeaderEdit::Kind::remove}};
  HeaderEdit edit;
  MapReader map(node, "an element of a list of header changes", report);
  const Node* name = nullptr;
  for (const auto& [key, kind] : kinds) {
    const Node* found = map.find(key);
    if (found != nullptr && name != nullptr) {
      report.error(found->at, "`add`, `set` and `remove` exclude each other; allowed: one of them for each element");
    } else if (found != nullptr) {
      name = found;
      edit.kind = kind;
    }
  }
  if (name == nullptr) {
    report.error(map.at(), "a header change names no header; allowed: one of `add`, `set` and `remove` with its name");
  } else if (const auto text = read_header_name(*name, "the header's name", report)) {
    edit.name = *text;
    check_name(edit, *name, message, report);
  }
  if (edit.kind == HeaderEdit::Kind::remove) {
    map.has_no_place("value", "`remove` takes away all fields of a name");
  } else if (const Node* value = map.require("value")) {
    edit.value = read_value(*value, report);
  }
  map.finish();
  return edit;
}

std::optional<std::vector<HeaderEdit>> read_edits(MapReader& map, std::string_view key, Message message) {
  if (!map.has(key)) {
    return std::nullopt;
  }
  std::vector<HeaderEdit> edits;
  for (const Node& node : map.list(key)) {
    edits.push_back(read_edit(node, message, map.report()));
  }
  if (edits.size() > most_edits) {
    map.report().error(map.position_of(key), MapReader::name_of(key) + " has " + std::to_string(edits.size()) +
                                                 " elements; allowed: at most " + std::to_string(most_edits));
  }
  return edits;
}

std::string read_path(const Node& node, std::string_view what, std::size_t least, Report& report) {
  constexpr std::string_view rule = "those of a path, without query, starting with /";
  if (node.kind == Node::Kind::scalar && !node.scalar.empty() && !node.scalar.starts_with('/')) {
    report.error(node.at, std::string(what) + " is " + shown(node) + "; allowed: " + std::to_string(least) +
                              "..256 characters: " + std::string(rule));
    return {};
  }
  return read_text(node, what, {least, 256}, is_path_character, rule, report).value_or("");
}

bool is_off(const Node& node) {
  return node.kind == Node::Kind::scalar && node.plain &&
         (node.scalar == "off" || node.scalar == "false" || node.scalar == "no");
}

PathEdit read_path_prefix(const Node& node, Report& report) {
  PathEdit edit;
  if (is_off(node)) {
    return edit;
  }
  MapReader map(node, "`path_prefix`", report);
  const Node* strip = map.find("strip");
  const Node* replace = map.find("replace");
  if ((strip == nullptr) == (replace == nullptr)) {
    report.error(map.at(), "`path_prefix` needs one of `strip` and `replace`, with how the path begins");
  }
  if (strip != nullptr) {
    edit.prefix = read_path(*strip, "`strip`", 2, report);
    map.has_no_place("with", "`strip` puts nothing in the prefix's place");
  } else if (replace != nullptr) {
    edit.prefix = read_path(*replace, "`replace`", 1, report);
    if (const Node* with = map.require("with")) {
      edit.replacement = read_path(*with, "`with`", 1, report);
    }
  } else {
    map.find("with");
  }
  map.finish();
  return edit;
}

void read_content(MapReader& map, FixedAnswer& answer) {
  if (const Node* type = map.find("content_type")) {
    answer.content_type = read_text(*type, "`content_type`", {1, 128}, is_value_character,
                                    "those of a media type, such as text/plain; charset=utf-8", map.report())
                              .value_or(answer.content_type);
  }
  if (const Node* body = map.find("body")) {
    const auto any = [](char) { return true; };
    answer.body = read_text(*body, "`body`", {0, most_body_octets}, any, "any", map.report()).value_or("");
  }
}

FixedAnswer read_answer(const Node& node, Report& report) {
  FixedAnswer answer;
  if (node.kind == Node::Kind::scalar && node.plain && node.scalar == "deny") {
    return answer;
  }
  answer.denied = false;
  MapReader map(node, "`answer`", report);
  if (const Node* status = map.require("status")) {
    const auto code = read_integer(*status, "`status`", {200, 599}, report);
    if (code && *code >= 300 && *code < 400) {
      report.error(status->at, "`status` is " + shown(*status) +
                                   "; allowed: 200..299, 400..599; for redirects the key "
                                   "`redirect` of a listener");
    } else {
      answer.status = static_cast<std::uint16_t>(code.value_or(answer.status));
    }
  }
  read_content(map, answer);
  if (answer.status == 204 || answer.status == 205) {
    map.has_no_effect("body", "an answer of that status has none");
    answer.body.clear();
  }
  map.finish();
  return answer;
}

}  // namespace

std::optional<std::string> read_header_name(const Node& node, std::string_view what, Report& report) {
  return read_text(node, what, {1, 128}, is_token_character, "letters, digits and !#$%&'*+-.^_`|~", report);
}

std::vector<FixedAnswer> read_error_pages(MapReader& map) {
  std::vector<FixedAnswer> pages;
  for (const Node& node : map.list("error_pages")) {
    MapReader page(node, "an error page", map.report());
    FixedAnswer answer;
    answer.content_type = "text/html";
    read_content(page, answer);
    if (!page.has("body")) {
      page.require("body");
    }
    const Node* status = page.require("status");
    const bool several = status != nullptr && status->kind == Node::Kind::sequence;
    for (const Node& one : status == nullptr ? std::span<const Node>{}
                           : several         ? std::span<const Node>(status->children)
                                             : std::span(status, 1)) {
      const auto code = read_integer(one, "`status`", {400, 599}, map.report());
      answer.status = static_cast<std::uint16_t>(code.value_or(0));
      if (code && std::ranges::find(pages, answer.status, &FixedAnswer::status) != pages.end()) {
        map.report().error(one.at, "status " + shown(one) + " has two error pages; allowed: one for each");
      } else if (code) {
        pages.push_back(answer);
      }
    }
    page.finish();
  }
  return pages;
}

MessageChanges read_message_changes(MapReader& map) {
  MessageChanges changes;
  changes.request_headers = read_edits(map, "request_headers", Message::request);
  changes.response_headers = read_edits(map, "response_headers", Message::response);
  if (const Node* path = map.find("path_prefix")) {
    changes.path_prefix = read_path_prefix(*path, map.report());
  }
  if (const Node* answer = map.find("answer")) {
    changes.answer = read_answer(*answer, map.report());
  }
  return changes;
}

void check_forwarded_fields(const MessageChanges& changes, const HttpListener& http, Position at, Report& report) {
  struct Told {
    std::string_view name;
    std::string_view key;
    bool on;
  };
  const std::array told{
      Told{"x-forwarded-for", "x_forwarded_for", http.x_forwarded_for != ForwardedFor::off},
      Told{"x-forwarded-proto", "x_forwarded_proto", http.x_forwarded_proto},
      Told{"x-forwarded-port", "x_forwarded_port", http.x_forwarded_port},
      Told{"x-forwarded-client-srcport", "x_forwarded_client_srcport", http.x_forwarded_client_srcport},
      Told{"slb-id", "slb_id", http.slb_id},
      Told{"slb-ip", "slb_ip", http.slb_ip}};
  for (const HeaderEdit& edit : changes.request_headers.value_or(std::vector<HeaderEdit>{})) {
    const auto found = std::ranges::find(told, in_lower_case(edit.name), &Told::name);
    if (found != told.end() && found->on) {
      report.error(at, "`request_headers` changes " + edit.name + ", which `" + std::string(found->key) +
                           "` of the listener writes; allowed: one of the two");
    }
  }
}

}  // namespace steelyard::control::config

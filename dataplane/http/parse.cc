#include "dataplane/http/parse.h"

#include <algorithm>

#include "dataplane/http/characters.h"
#include "dataplane/http/collect.h"
#include "dataplane/http/framing.h"
#include "dataplane/http/lines.h"
#include "dataplane/http/target.h"

namespace steelyard::http {
namespace {

// RFC 9110 section 9.1: a method is a token, and its case counts. Servers that ignore the case exist, and with HEAD or
// CONNECT it decides about framing; nobody has registered a method with small letters.
constexpr Characters method_characters = token_characters.without(lower_case);
constexpr std::size_t max_method_octets = 64;

std::string_view text_of(std::span<const std::uint8_t> octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

void clear(MessageHead& head) {
  head.version = Version::http_1_1;
  head.tier = Tier::compliant;
  head.framing = {};
  head.keep_alive = true;
  head.connection = {};
  head.several_connections = false;
  head.upgrade = {};
  head.fields.clear();
}

void clear(RequestHead& head) {
  clear(static_cast<MessageHead&>(head));
  head.method = Method::other;
  head.method_name = {};
  head.target = {};
  head.path = {};
  head.host = {};
  head.authority = {};
  head.expects_continue = false;
}

void clear(ResponseHead& head) {
  clear(static_cast<MessageHead&>(head));
  head.status = 0;
  head.reason = {};
  head.announced_length.reset();
}

Method method_of(std::string_view name) {
  switch (name.size()) {
    case 3:
      return name == "GET" ? Method::get : name == "PUT" ? Method::put : Method::other;
    case 4:
      return name == "POST" ? Method::post : name == "HEAD" ? Method::head : Method::other;
    case 5:
      return name == "PATCH" ? Method::patch : name == "TRACE" ? Method::trace : Method::other;
    case 6:
      return name == "DELETE" ? Method::del : Method::other;
    case 7:
      return name == "OPTIONS" ? Method::options : name == "CONNECT" ? Method::connect : Method::other;
    default:
      return Method::other;
  }
}

Verdict read_version(std::string_view text, MessageHead& head) {
  if (text == "HTTP/1.1") {
    return {};
  }
  if (text == "HTTP/1.0") {
    head.version = Version::http_1_0;
    return {};
  }
  // "HTTP/1.32" is no version of RFC 9112 section 2.3 at all, but it is clear what it is meant to be.
  if (text.size() > 5 && text.starts_with("HTTP/") && digits.has(text[5])) {
    return tl::unexpected(Refusal{.status = 505, .cause = Cause::bad_version, .fault = "another version"});
  }
  return malformed("a malformed version");
}

// RFC 9112 section 3: method SP request-target SP HTTP-version, and nothing lenient about it.
tl::expected<TargetOrigin, Refusal> read_request_line(std::string_view line, const ParseLimits& limits,
                                                      RequestHead& head) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  head.method_name = line.substr(0, first);
  if (head.method_name.empty() || head.method_name.size() > max_method_octets ||
      !method_characters.make_up(head.method_name)) {
    return malformed("a malformed method");
  }
  head.method = method_of(head.method_name);
  if (first == std::string_view::npos) {
    return malformed("no target");
  }
  if (first == last) {
    return tl::unexpected(Refusal{.status = 505, .cause = Cause::bad_version, .fault = "no version, as in HTTP/0.9"});
  }
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (const Verdict verdict = read_version(line.substr(last + 1), head); !verdict) {
    return tl::unexpected(verdict.error());
  }
  if (head.method == Method::connect || head.method == Method::trace) {
    return tl::unexpected(Refusal{.status = 405, .cause = Cause::bad_method, .fault = "CONNECT or TRACE"});
  }
  if (target.empty()) {
    return malformed("no target");
  }
  if (target.size() > limits.target_octets) {
    return tl::unexpected(Refusal{.status = 414, .cause = Cause::target_too_long, .fault = "the target is too long"});
  }
  return read_target(target, head);
}

// RFC 9112 section 4: HTTP-version SP status-code SP [ reason-phrase ]
Verdict read_status_line(std::string_view line, ResponseHead& head) {
  if (line.size() < 12 || line[8] != ' ' || !digits.make_up(line.substr(9, 3))) {
    return malformed("a malformed status line");
  }
  if (const Verdict verdict = read_version(line.substr(0, 8), head); !verdict) {
    return verdict;
  }
  head.status = static_cast<std::uint16_t>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  if (head.status < 100 || head.status > 599) {
    return malformed("a status that is none");  // RFC 9110 section 15
  }
  if (line.size() == 12) {
    worsen(head.tier, Tier::acceptable);  // the second blank is missing; common
    return {};
  }
  if (line[12] != ' ') {
    return malformed("a malformed status line");
  }
  head.reason = line.substr(13);
  return {};
}

std::string_view first_line(std::string_view head) {
  const std::string_view line = head.substr(0, head.find('\n'));
  return line.substr(0, line.size() - (line.ends_with('\r') ? 1 : 0));
}

using Collect = Collected(std::string_view, std::size_t, std::size_t, Fields&);

tl::expected<Collected, Refusal> collect(std::string_view text, const ParseLimits& limits, Collect& fields_of,
                                         Fields& fields) {
  const Lines lines = check_lines(text);
  if (lines.fault != nullptr) {
    return malformed(lines.fault);
  }
  const Collected collected = fields_of(text, lines.fields, limits.fields, fields);
  if (collected.too_many) {
    return tl::unexpected(Refusal{.status = 431, .cause = Cause::head_too_large, .fault = collected.fault});
  }
  if (collected.fault != nullptr) {
    return malformed(collected.fault);
  }
  return collected;
}

Verdict read_response(std::string_view text, const ParseLimits& limits, Method method, ResponseHead& head) {
  if (const Verdict verdict = read_status_line(first_line(text), head); !verdict) {
    return verdict;
  }
  const auto collected = collect(text, limits, collect_response_fields, head.fields);
  if (!collected) {
    return tl::unexpected(collected.error());
  }
  const auto known = read_fields(head);
  if (!known) {
    return tl::unexpected(known.error());
  }
  return frame_response(*known, *collected, method, head);
}

}  // namespace

bool may_begin_request(std::span<const std::uint8_t> octets) {
  std::string_view text = text_of(octets);
  if (text.starts_with('\r')) {
    if (text.size() > 1 && text[1] != '\n') {
      return false;
    }
    text.remove_prefix(std::min<std::size_t>(text.size(), 2));
  }
  const std::string_view method = text.substr(0, std::min(text.find(' '), max_method_octets + 1));
  return method.size() <= max_method_octets && (text.empty() || !method.empty()) && token_characters.make_up(method);
}

Verdict parse_request(std::span<const std::uint8_t> octets, const ParseLimits& limits, RequestHead& head) {
  clear(head);
  std::string_view text = text_of(octets);
  if (text.starts_with("\r\n")) {
    text.remove_prefix(2);
  }
  const auto origin = read_request_line(first_line(text), limits, head);
  if (!origin) {
    return tl::unexpected(origin.error());
  }
  const auto collected = collect(text, limits, collect_request_fields, head.fields);
  if (!collected) {
    return tl::unexpected(collected.error());
  }
  const auto known = read_fields(head);
  if (!known) {
    return tl::unexpected(known.error());
  }
  if (const Verdict verdict = read_authority(*origin, *known, head); !verdict) {
    return verdict;
  }
  return frame_request(*known, *collected, head);
}

Verdict parse_response(std::span<const std::uint8_t> octets, const ParseLimits& limits, Method method,
                       ResponseHead& head) {
  clear(head);
  const Verdict verdict = read_response(text_of(octets), limits, method, head);
  // Whatever is wrong with an answer, the client is told one thing (RFC 9112 section 6.3).
  return verdict ? verdict
                 : tl::unexpected(Refusal{.status = 502, .cause = Cause::bad_answer, .fault = verdict.error().fault});
}

}  // namespace steelyard::http

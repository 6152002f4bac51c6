// What Steelyard answers by itself: errors, each with its cause, and redirections.
#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "dataplane/http/composition.h"
#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

std::string_view reason_of(std::uint16_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return status < 300 ? "OK" : "Error";
  }
}

const service::FixedAnswer no_words{.status = 200, .content_type = "text/plain", .body = {}, .denied = false};

constexpr std::string_view page_begin = "<!DOCTYPE html>\n<title>";
constexpr std::string_view page_middle = "</title>\n<h1>";
constexpr std::string_view page_cause = "</h1>\n<p>Steelyard: ";
constexpr std::string_view page_end = "</p>\n";

}  // namespace

namespace {

void write_title(HeadWriter& writer, std::uint16_t status) {
  writer.number(status);
  writer.text(" ");
  writer.text(reason_of(status));
}

// How long the page is; and writes it.
std::size_t page_octets(std::uint16_t status, Cause cause) {
  const std::size_t title = 4 + reason_of(status).size();  // "503 Service Unavailable"
  return page_begin.size() + page_middle.size() + page_cause.size() + page_end.size() + 2 * title +
         code_of(cause).size();
}
void write_page(HeadWriter& writer, std::uint16_t status, Cause cause) {
  writer.text(page_begin);
  write_title(writer, status);
  writer.text(page_middle);
  write_title(writer, status);
  writer.text(page_cause);
  writer.text(code_of(cause));
  writer.text(page_end);
}

}  // namespace

// Returns how many octets it has sent.
std::uint64_t Proxy::Machine::write_own(LinkIndex client, const OwnAnswer& own) {
  Composition composition(ground_, slices_);
  HeadWriter& writer = composition.writer();
  writer.text("HTTP/1.1 ");
  write_title(writer, own.status);
  writer.end_line();
  writer.field("Date", date());
  writer.field("Cache-Control", "no-cache");
  if (!own.without_content) {
    writer.field("Content-Type", own.fixed != nullptr ? std::string_view(own.fixed->content_type) : "text/html");
    writer.text("Content-Length: ");
    writer.number(own.fixed != nullptr ? own.fixed->body.size() : page_octets(own.status, own.cause));
    writer.end_line();
  }
  if (!own.location[0].empty()) {
    writer.text("Location: ");
    for (const std::string_view piece : own.location) {
      writer.text(piece);
    }
    writer.end_line();
  }
  if (own.status == 405 || own.cause == Cause::last_hop) {
    writer.field("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
  }
  if (own.status == 429) {
    writer.field("Retry-After", "1");
  }
  if (own.close) {
    writer.field("Connection", "close");
  }
  writer.end_line();
  if (own.without_content) {
    // RFC 9110 section 6.4.1.
  } else if (own.with_body && own.fixed != nullptr) {
    writer.text(own.fixed->body);
  } else if (own.with_body) {
    write_page(writer, own.status, own.cause);
  }
  if (!composition.complete()) {
    abort(client);  // not even for a few words is there room
    return 0;
  }
  send(client, composition.take(), own.close ? Then::fin : Then::more);
  return writer.written();
}

// What the configuration says instead of our own page; null: nothing.
const service::FixedAnswer* Proxy::Machine::page_for(service::ListenerId listener, std::uint16_t status) const {
  const std::vector<service::FixedAnswer>& pages = settings_of(listener).error_pages;
  const auto found = std::ranges::find(pages, status, &service::FixedAnswer::status);
  return found == pages.end() ? nullptr : &*found;
}

// Ends the exchange by an answer of ours.
void Proxy::Machine::answer(ExchangeIndex x, OwnAnswer own) {
  Exchange& exchange = exchange_at(x);
  let_go_of_server(x, false);
  exchange.record.status = own.status;
  exchange.record.cause = own.cause;
  own.with_body = exchange.method != Method::head;
  if (own.fixed == nullptr) {
    own.fixed = page_for(exchange.listener, own.status);
  }
  own.close = exchange.close_client || !exchange.body_taken || exchange.client_is_1_0;
  exchange.record.octets_out += write_own(exchange.client, own);
  const LinkIndex client = exchange.client;
  end_exchange(x);
  settle_client(client, own.close);
}

void Proxy::Machine::answer_fixed(ExchangeIndex x, const service::FixedAnswer& fixed) {
  const bool empty = fixed.status == 204 || fixed.status == 304;  // which have no body (RFC 9110 section 6.4.1)
  answer(x, {.status = fixed.status,
             .cause = fixed.denied ? Cause::denied : Cause::fixed_answer,
             .without_content = empty,
             .fixed = fixed.denied && fixed.body.empty() ? nullptr : &fixed});
}

// What we can do with requests, for a client that asks us and not a server (RFC 9110 section 7.6.2).
void Proxy::Machine::answer_options(ExchangeIndex x) {
  answer(x, {.status = 200, .cause = Cause::last_hop, .fixed = &no_words});
}

// To octets that have not become a request; then the connection ends. It is logged like one.
void Proxy::Machine::answer_without_request(LinkIndex index, std::uint16_t status, Cause cause) {
  Link& link = at(index);
  AccessRecord record;
  record.accepted_at = link.began_us;
  record.total_us = static_cast<std::uint32_t>(wall_us_ - link.began_us);
  record.listener = link.listener;
  record.status = status;
  record.cause = cause;
  record.octets_in = link.received.octets();
  const ClientAddresses addresses = addresses_of(index);
  record.client = addresses.source;
  record.client_port = addresses.source_port;
  record.octets_out = write_own(index, {.status = status, .cause = cause, .fixed = page_for(link.listener, status)});
  ground_.log(record);
  settle_client(index, true);
}

// To the same host, path and query.
void Proxy::Machine::redirect(ExchangeIndex x, const service::Listener& listener, const RequestHead& head) {
  const service::Redirect& redirect = *listener.http->redirect;
  const bool default_port = redirect.port == (redirect.to_https ? 443 : 80);
  std::array<char, 5> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), redirect.port).ptr;
  const std::string_view port(digits.data(), end);
  if (head.host.empty()) {  // HTTP/1.0 without Host: there is no name to go to
    return answer(x, {.status = 400, .cause = Cause::bad_request});
  }
  answer(x, {.status = redirect.status,
             .cause = Cause::redirected,
             .location = {redirect.to_https ? "https://" : "http://", head.host, default_port ? "" : ":",
                          default_port ? std::string_view{} : port, head.target.starts_with('?') ? "/" : "",
                          head.target == "*" ? "/" : head.target}});
}

}  // namespace steelyard::http

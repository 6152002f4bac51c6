// What Steelyard answers by itself: errors, each with its cause, and redirections.
#include <array>
#include <charconv>
#include <string_view>

#include "dataplane/http/composition.h"
#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

std::string_view reason_of(std::uint16_t status) {
  switch (status) {
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
    case 403:
      return "Forbidden";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
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
      return "Error";
  }
}

constexpr std::string_view page_begin = "<!DOCTYPE html>\n<title>";
constexpr std::string_view page_middle = "</title>\n<h1>";
constexpr std::string_view page_cause = "</h1>\n<p>Steelyard: ";
constexpr std::string_view page_end = "</p>\n";

}  // namespace

// Returns how many octets it has sent. `location`: pieces of a Location field, empty ones are none.
std::uint64_t Proxy::Machine::write_own(LinkIndex client, const OwnAnswer& own) {
  Composition composition(ground_);
  HeadWriter& writer = composition.writer();
  const std::string_view reason = reason_of(own.status);
  const std::size_t title = 4 + reason.size();  // "503 Service Unavailable"
  const std::size_t page = page_begin.size() + page_middle.size() + page_cause.size() + page_end.size() + 2 * title +
                           code_of(own.cause).size();
  const auto write_title = [&] {
    writer.number(own.status);
    writer.text(" ");
    writer.text(reason);
  };
  writer.text("HTTP/1.1 ");
  write_title();
  writer.text("\r\nContent-Type: text/html\r\nCache-Control: no-cache\r\nContent-Length: ");
  writer.number(page);
  writer.end_line();
  if (!own.location[0].empty()) {
    writer.text("Location: ");
    for (const std::string_view piece : own.location) {
      writer.text(piece);
    }
    writer.end_line();
  }
  if (own.status == 405) {
    writer.field("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
  }
  if (own.close) {
    writer.field("Connection", "close");
  }
  writer.end_line();
  if (own.with_body) {
    writer.text(page_begin);
    write_title();
    writer.text(page_middle);
    write_title();
    writer.text(page_cause);
    writer.text(code_of(own.cause));
    writer.text(page_end);
  }
  if (!composition.complete()) {
    abort(client);  // not even for a few words is there room
    return 0;
  }
  send(client, composition.take());
  return writer.written();
}

void Proxy::Machine::answer(ExchangeIndex x, std::uint16_t status, Cause cause, const Location& location) {
  Exchange& exchange = exchange_at(x);
  let_go_of_server(x, false);
  exchange.record.status = status;
  exchange.record.cause = cause;
  const bool close = exchange.close_client || !exchange.body_taken || exchange.client_is_1_0;
  exchange.record.octets_out += write_own(exchange.client, {.status = status,
                                                            .cause = cause,
                                                            .with_body = exchange.method != Method::head,
                                                            .close = close,
                                                            .location = location});
  const LinkIndex client = exchange.client;
  end_exchange(x);
  settle_client(client, close);
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
  if (const tcp::Endpoints* endpoints = ground_.endpoints_of(link.id)) {
    record.client = service::Address::from_v6(endpoints->remote.bytes());
    record.client_port = endpoints->remote_port;
  }
  record.octets_out = write_own(index, {.status = status, .cause = cause, .with_body = true, .close = true});
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
    return answer(x, 400, Cause::bad_request);
  }
  answer(x, redirect.status, Cause::redirected,
         {redirect.to_https ? "https://" : "http://", head.host, default_port ? "" : ":",
          default_port ? std::string_view{} : port, head.target == "*" ? "/" : head.target});
}

}  // namespace steelyard::http

// Heads as they go on: always written anew from what was understood, never the sender's own octets.
#include <algorithm>
#include <array>

#include "dataplane/http/cache_control.h"
#include "dataplane/http/composition.h"
#include "dataplane/http/content_coding.h"
#include "dataplane/http/cookie_edit.h"
#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

constexpr std::string_view forwarded_for = "X-Forwarded-For";
constexpr std::string_view forwarded_proto = "X-Forwarded-Proto";
constexpr std::string_view forwarded_port = "X-Forwarded-Port";
constexpr std::string_view forwarded_client_port = "X-Forwarded-Client-srcport";
constexpr std::string_view slb_id = "SLB-ID";
constexpr std::string_view slb_ip = "SLB-IP";

// Is it the name of a field of ours, or one that CGI and its like take for it (RFC 3875 section 4.1.18: they have no
// hyphens)?
bool passes_for(std::string_view name, std::string_view ours) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::ranges::equal(name, ours, [lower](char a, char b) { return lower(a == '_' ? '-' : a) == lower(b); });
}

// Fields that we write ourselves, so that no client can forge them.
bool is_overwritten(const service::HttpSettings& settings, std::string_view name) {
  // All begin with X-Forwarded- or SLB-; most names are neither.
  if (name.size() < slb_id.size() || ((name[0] | 0x20) != 'x' && (name[0] | 0x20) != 's')) {
    return false;
  }
  return (settings.forwarded_for != service::ForwardedFor::off && passes_for(name, forwarded_for)) ||
         (settings.forwarded_proto && passes_for(name, forwarded_proto)) ||
         (settings.forwarded_port && passes_for(name, forwarded_port)) ||
         (settings.forwarded_client_port && passes_for(name, forwarded_client_port)) ||
         (settings.slb_id && passes_for(name, slb_id)) || (settings.slb_ip && passes_for(name, slb_ip));
}

// An expectation that the client does not wait for (RFC 9110 section 10.1.1): in HTTP/1.0, or without content. A
// server, to which we speak HTTP/1.1, would take it for one.
bool is_idle_expectation(const RequestHead& head, std::string_view name) {
  return name.size() == 6 && same_name(name, "Expect") && !head.expects_continue;
}

void write_framing(HeadWriter& writer, const Framing& framing) {
  switch (framing.kind) {
    case BodyKind::none:
    case BodyKind::until_close:
      break;
    case BodyKind::length:
      writer.text("Content-Length: ");
      writer.number(framing.length);
      writer.end_line();
      break;
    case BodyKind::chunked:
      writer.field("Transfer-Encoding", "chunked");
      break;
  }
}

// Text as a client's address is told.
class AddressText {
 public:
  explicit AddressText(const service::Address& address) { length_ = address.write(text_); }
  [[nodiscard]] std::string_view view() const { return {text_.data(), length_}; }

 private:
  std::array<char, service::Address::most_text> text_{};
  std::size_t length_ = 0;
};

// Pieces as StrippedCookies and UnmarkedCookies give them.
template <class Pieces>
void write_cookie_field(HeadWriter& writer, Pieces pieces) {
  bool begun = false;
  for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
    writer.text(begun ? "" : "Cookie: ");
    writer.text(piece);
    begun = true;
  }
  if (begun) {
    writer.end_line();
  }
}

// Is a field of this name replaced, or not passed on?
bool is_edited_away(std::span<const service::HeaderEdit> edits, std::string_view name) {
  for (const service::HeaderEdit& edit : edits) {
    if (edit.kind != service::HeaderEdit::Kind::add && same_name(edit.name, name)) {
      return true;
    }
  }
  return false;
}

void write_edits(HeadWriter& writer, std::span<const service::HeaderEdit> edits) {
  for (const service::HeaderEdit& edit : edits) {
    if (edit.kind != service::HeaderEdit::Kind::remove && !same_name(edit.name, "host")) {
      writer.field(edit.name, edit.value);
    }
  }
}

void write_target(HeadWriter& writer, const service::HttpSettings& settings, std::string_view target) {
  const bool without_path = target.starts_with('?');
  const auto is_edited = [&](const std::string& prefix) {
    return without_path ? prefix == "/" : target.starts_with(prefix);
  };
  if (settings.path_edit && is_edited(settings.path_edit->prefix)) {
    const std::string& replacement = settings.path_edit->replacement;
    const std::string_view rest = without_path ? target : target.substr(settings.path_edit->prefix.size());
    if (!replacement.starts_with('/') && (replacement.empty() ? !rest.starts_with('/') : true)) {
      writer.text("/");
    }
    writer.text(replacement);
    writer.text(rest);
  } else {
    writer.text(without_path ? "/" : "");
    writer.text(target);
  }
}

}  // namespace

void Proxy::Machine::write_forwarded(HeadWriter& writer, const Exchange& exchange, const service::Listener& listener,
                                     const RequestHead& head) {
  const service::HttpSettings& settings = *listener.http;
  // What the client has connected to: us, unless a PROXY header says otherwise.
  const bool proxied = at(exchange.client).proxied;
  const service::Address& address = proxied ? addresses_[exchange.client].destination : listener.key.address;
  const std::uint16_t port = proxied ? addresses_[exchange.client].destination_port : listener.key.port;
  if (settings.forwarded_for != service::ForwardedFor::off) {
    writer.text(forwarded_for);
    writer.text(": ");
    if (settings.forwarded_for == service::ForwardedFor::append) {
      for (const Field& field : head.fields.all()) {
        if (same_name(field.name, forwarded_for) && !field.value.empty()) {
          writer.text(field.value);
          writer.text(", ");
        }
      }
    }
    writer.text(AddressText(exchange.record.client).view());
    writer.end_line();
  }
  const auto number = [&writer](bool on, std::string_view name, std::uint16_t value) {
    if (on) {
      writer.text(name);
      writer.text(": ");
      writer.number(value);
      writer.end_line();
    }
  };
  if (settings.forwarded_proto) {
    writer.field(forwarded_proto, settings.https ? "https" : "http");
  }
  number(settings.forwarded_port, forwarded_port, port);
  number(settings.forwarded_client_port, forwarded_client_port, exchange.record.client_port);
  if (settings.slb_id) {
    writer.field(slb_id, settings.load_balancer);
  }
  if (settings.slb_ip) {
    writer.field(slb_ip, AddressText(address).view());
  }
}

// Writes the request's head as the servers of `target` get it. False: there is no room.
bool Proxy::Machine::compose_request(Exchange& exchange, const service::Listener& listener,
                                     const service::Listener& target, const RequestHead& head) {
  using Kind = service::SessionCookie::Kind;
  const service::SessionCookie& cookie = target.http->cookie;
  Composition composition(ground_, slices_);
  HeadWriter& writer = composition.writer();
  if (target.client_address != service::ClientAddress::none) {
    const bool line = target.client_address == service::ClientAddress::proxy_v1;
    const ProxyPreface preface(line ? ProxyVersion::v1 : ProxyVersion::v2, addresses_of(exchange.client));
    writer.text(preface.view());
    exchange.preface = static_cast<std::uint8_t>(preface.view().size());
  }
  writer.text(head.method_name);
  writer.text(" ");
  write_target(writer, *target.http, head.target);
  writer.text(" HTTP/1.1\r\n");
  const std::span<const service::HeaderEdit> edits = target.http->request_edits;
  const auto host = std::ranges::find_if(edits, [](const auto& edit) { return same_name(edit.name, "host"); });
  writer.field("Host", host != edits.end()
                           ? std::string_view(host->value)
                           : head.authority);  // empty when an HTTP/1.0 client has named none (RFC 9112 section 3.2)
  for (const Field& field : head.fields.all()) {
    if (is_hop_by_hop(head, field.name) || is_overwritten(*listener.http, field.name) ||
        is_edited_away(edits, field.name) || is_idle_expectation(head, field.name)) {
      continue;
    }
    if (cookie.kind != Kind::off && is_cookie_field(field.name)) {
      if (cookie.kind == Kind::insert) {
        write_cookie_field(writer, StrippedCookies(field.value, cookie.name));
      } else {
        write_cookie_field(writer, UnmarkedCookies(field.value, cookie.name, cookies_));
      }
      continue;
    }
    if (const auto left = forwards_left(head, field)) {
      writer.text("Max-Forwards: ");
      writer.number(*left - 1);
      writer.end_line();
      continue;
    }
    writer.field(field.name, field.value);
  }
  write_forwarded(writer, exchange, listener, head);
  write_edits(writer, edits);
  write_framing(writer, head.framing);
  if (exchange.wants_upgrade) {
    writer.field("Connection", "upgrade");
    writer.field("Upgrade", head.upgrade);
  }
  writer.end_line();
  if (!composition.complete()) {
    return false;
  }
  bool kept = true;
  for (const tcp::Slice& slice : composition.take()) {
    if (!exchange.replay.push(ground_.memory(), slice)) {
      ground_.memory().release(slice);
      kept = false;
    }
  }
  return kept;
}

// Fields of an answer that are not passed on as they are.
bool Proxy::Machine::write_answer_field(HeadWriter& writer, Exchange& exchange, const service::Listener* target,
                                        const Field& field) {
  if (target != nullptr && is_edited_away(target->http->answer_edits, field.name)) {
    return true;
  }
  if (exchange.tells_vary && same_name(field.name, "vary") && !field.value.empty()) {
    exchange.tells_vary = false;
    writer.text("Vary: ");
    writer.text(field.value);
    writer.text(", Accept-Encoding\r\n");
    return true;
  }
  if (exchange.compressor != no_compressor && write_field_of_gzipped(writer, field)) {
    return true;
  }
  if (target == nullptr) {
    return false;
  }
  const service::SessionCookie& cookie = target->http->cookie;
  if (cookie.kind == service::SessionCookie::Kind::rewrite && same_name(field.name, "set-cookie")) {
    const auto place = place_of_mark(field.value, cookie.name);
    if (!place) {
      return false;
    }
    writer.text("Set-Cookie: ");
    writer.text(field.value.substr(0, *place));
    writer.text(cookies_.mark_of(exchange.tag).view());
    writer.text(field.value.substr(*place));
    writer.end_line();
    return true;
  }
  // An answer with a session cookie is this client's alone: no cache may give it to another one.
  if (exchange.set_cookie && same_name(field.name, "cache-control")) {
    if (is_private(field.value)) {
      return false;
    }
    writer.text("Cache-Control: private");
    write_private_directives(writer, field.value);
    writer.end_line();
    return true;
  }
  return false;
}

// Returns how many octets it has sent.
std::uint64_t Proxy::Machine::send_answer_head(ExchangeIndex x, const ResponseHead& head) {
  Exchange& exchange = exchange_at(x);
  const service::Listener* target = snapshot_->find(exchange.target);
  target = target != nullptr && target->http != nullptr ? target : nullptr;
  const bool final = !head.is_interim() && head.status != 101;
  const bool without_body = exchange.method == Method::head || head.status == 304;
  Composition composition(ground_, slices_);
  HeadWriter& writer = composition.writer();
  writer.text("HTTP/1.1 ");
  writer.number(head.status);
  writer.text(" ");
  writer.text(head.reason);
  writer.end_line();
  bool has_cache_control = false;
  bool has_date = !final || (target != nullptr && is_edited_away(target->http->answer_edits, "date"));
  for (const Field& field : head.fields.all()) {
    // What the length would be (RFC 9110 section 8.6).
    const bool length = final && without_body && same_name(field.name, "content-length");
    if (is_hop_by_hop(head, field.name) && !length) {
      continue;
    }
    has_cache_control = has_cache_control || same_name(field.name, "cache-control");
    has_date = has_date || same_name(field.name, "date");
    if (!final || !write_answer_field(writer, exchange, target, field)) {
      writer.field(field.name, field.value);
    }
  }
  if (!has_date) {
    writer.field("Date", date());
  }
  if (final) {
    write_answer_end(writer, exchange, target, head, has_cache_control);
  } else if (head.status == 101) {
    writer.field("Connection", "upgrade");
    writer.field("Upgrade", head.upgrade);
  }
  writer.end_line();
  if (!composition.complete()) {
    abort(exchange.client);
    return 0;
  }
  final ? hold(exchange.client, composition.take()) : send(exchange.client, composition.take());
  return writer.written();
}

// What we add to an answer.
void Proxy::Machine::write_answer_end(HeadWriter& writer, const Exchange& exchange, const service::Listener* target,
                                      const ResponseHead& head, bool has_cache_control) {
  if (target != nullptr) {
    write_edits(writer, target->http->answer_edits);
  }
  const bool inserts = target != nullptr && target->http->cookie.kind == service::SessionCookie::Kind::insert;
  if (exchange.set_cookie && inserts) {
    const auto seconds = static_cast<std::uint32_t>(wall_us_ / 1'000'000);
    const SessionCookies::Value value =
        cookies_.write({.server = exchange.tag, .last_seen = seconds, .first_seen = exchange.cookie_first_seen});
    write_set_cookie(writer, target->http->cookie, value.view(), target->http->https);
    if (!has_cache_control) {
      writer.field("Cache-Control", "private");
    }
  }
  if (exchange.tells_vary) {
    writer.field("Vary", "Accept-Encoding");
  }
  if (exchange.compressor != no_compressor) {
    writer.field("Content-Encoding", "gzip");
    write_framing(writer, {.kind = BodyKind::chunked});
  } else if (!exchange.strip_framing) {
    write_framing(writer, head.framing);
  }
  if (exchange.close_client) {
    writer.field("Connection", "close");
  } else if (exchange.client_is_1_0) {
    writer.field("Connection", "keep-alive");
  }
}

}  // namespace steelyard::http

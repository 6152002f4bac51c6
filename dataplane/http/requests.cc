// Clients: from octets to a request that is on its way to a server, or answered by us.
#include <algorithm>
#include <cstring>

#include "dataplane/http/content_coding.h"
#include "dataplane/http/cookie_edit.h"
#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

const service::HttpSettings defaults;

// What a scheduler by hash places the request by. Without the field that counts: the client's address.
schedule::ClientKey key_of(const Exchange& exchange, const service::Listener& target, const RequestHead& head) {
  if (target.scheduler == service::Scheduler::uri) {
    return schedule::text_key(head.path);
  }
  if (target.scheduler == service::Scheduler::header) {
    for (const Field& field : head.fields.all()) {
      if (same_name(field.name, target.http->hash_field) && !field.value.empty()) {
        return schedule::text_key(field.value);
      }
    }
  }
  return schedule::client_key(target.scheduler, exchange.record.client, exchange.record.client_port, target.key.address,
                              target.key.port);
}

std::uint32_t microseconds(tcp::Duration duration) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(duration.count(), 0, AccessRecord::never - 1));
}

}  // namespace

// The listener, if it takes requests.
const service::Listener* Proxy::Machine::running(service::ListenerId id) const {
  const service::Listener* listener = snapshot_->find(id);
  return listener != nullptr && listener->running && listener->http != nullptr ? listener : nullptr;
}

const service::Listener* Proxy::Machine::route(const service::Listener& listener, std::string_view host,
                                               std::string_view path) const {
  const service::ForwardingRules* rules = listener.http->rules.get();
  const service::ForwardingRule* rule = rules != nullptr ? rules->find(host, path) : nullptr;
  return running(rule != nullptr ? rule->target : listener.id);
}

const service::HttpSettings& Proxy::Machine::settings_of(service::ListenerId id) const {
  const service::Listener* listener = snapshot_->find(id);
  return listener != nullptr && listener->http != nullptr ? *listener->http : defaults;
}

void Proxy::Machine::serve_client(LinkIndex index) {
  Link& link = at(index);
  if (link.lingering) {
    return serve_lingering(index);
  }
  if (link.over) {
    return end_client(index);
  }
  const bool flushed = flush(index);
  if (link.exchange != nobody) {
    return continue_request(link.exchange);
  }
  if (!flushed) {
    // Who pipelines requests and reads no answers gets no more of them, and not for ever, however much he says.
    if (link.deadline == tcp::never) {
      set_deadline(index, now_ + settings_of(link.listener).request_timeout);
    }
    return;
  }
  take_request(index);
}

// Looks for the next request's head in what has come.
void Proxy::Machine::take_request(LinkIndex index) {
  Link& link = at(index);
  if (link.awaits_header && !take_proxy_header(index)) {
    return;
  }
  const service::HttpSettings& settings = settings_of(link.listener);
  if (link.received.empty()) {
    if (link.peer_finished) {
      ground_.close(link.id, now_);
      return free_link(index);
    }
    if (link.deadline == tcp::never) {
      set_deadline(index, now_ + settings.idle_timeout);
    }
    return;
  }
  if (link.began_us == 0) {
    link.began_us = wall_us_;
    set_deadline(index, now_ + settings.header_timeout);
    const tcp::Slice& first = link.received.front(ground_.memory());
    if (!may_begin_request({ground_.data_of(first), first.length})) {
      return answer_without_request(index, 400, Cause::bad_request);
    }
  }
  const auto end = head_end(link);
  const std::size_t most = std::min<std::size_t>(settings.most_header_octets, most_head_octets);
  if (end.value_or(link.received.octets()) > most) {
    // Is it the target alone that is too long?
    const auto octets = gather(link, most);
    const bool line_ends = std::memchr(octets.data(), '\n', octets.size()) != nullptr;
    return line_ends ? answer_without_request(index, 431, Cause::head_too_large)
                     : answer_without_request(index, 414, Cause::target_too_long);
  }
  if (end) {
    return begin_exchange(index, *end);
  }
  if (link.peer_finished) {  // in the middle of a head
    abort(index);
  }
}

void Proxy::Machine::begin_exchange(LinkIndex index, std::size_t octets) {
  Link& link = at(index);
  const ExchangeIndex x = make_exchange();
  if (x == nobody) {
    return answer_without_request(index, 503, Cause::no_room);
  }
  set_deadline(index, tcp::never);
  counters_.requests.add();
  ++link.requests;
  link.exchange = x;
  link.scanned = 0;
  link.scanner.reset();
  Exchange& exchange = exchange_at(x);
  exchange.client = index;
  exchange.listener = link.listener;
  exchange.head_at = now_;
  AccessRecord& record = exchange.record;
  record.accepted_at = link.began_us;
  record.head_us = static_cast<std::uint32_t>(wall_us_ - link.began_us);
  record.listener = link.listener;
  record.octets_in = octets;
  const ClientAddresses addresses = addresses_of(index);
  record.client = addresses.source;
  record.client_port = addresses.source_port;
  const service::HttpSettings& settings = settings_of(link.listener);
  RequestHead& head = request_head_;
  const auto parsed = parse_request(
      gather(link, octets), {.fields = settings.most_fields, .target_octets = settings.most_target_octets}, head);
  record.method.assign(head.method_name);
  record.host.assign(head.host);
  record.target_text.assign(head.target);
  exchange.method = head.method;
  exchange.client_is_1_0 = record.http_1_0 = head.version == Version::http_1_0;
  bool goes_on = false;
  if (!parsed) {
    exchange.close_client = true;
    answer(x, parsed.error().status, parsed.error().cause);
  } else {
    goes_on = admit(x, head);
  }
  read(index, static_cast<std::uint32_t>(octets));  // what was read of it is written anew, or of no use any more
  if (goes_on) {
    find_server(x);
  }
}

// May the request go on? Otherwise it has been answered. If so, its head is ready to be sent.
bool Proxy::Machine::admit(ExchangeIndex x, const RequestHead& head) {
  Exchange& exchange = exchange_at(x);
  const Link& link = at(exchange.client);
  exchange.request_body = BodyReader(head.framing);
  exchange.body_taken = exchange.request_body.complete();
  exchange.client_keeps_alive = head.keep_alive;
  exchange.wants_upgrade = !head.upgrade.empty() && !exchange.client_is_1_0;
  exchange.waits_for_continue = head.expects_continue && !exchange.body_taken;
  exchange.close_client = !head.keep_alive || head.tier == Tier::ambiguous;
  exchange.close_server = head.tier == Tier::ambiguous;
  const service::Listener* listener = running(exchange.listener);
  if (listener == nullptr) {
    exchange.close_client = true;
    answer(x, 503, Cause::listener_stopped);
    return false;
  }
  const service::HttpSettings& settings = *listener->http;
  exchange.accepts_gzip = settings.gzip && !exchange.client_is_1_0 && !exchange.wants_upgrade &&
                          head.method != Method::head && http::accepts_gzip(head.fields.all());
  exchange.close_client =
      exchange.close_client || (settings.most_requests != 0 && link.requests >= settings.most_requests);
  if (listener->per_source.request_rate != 0 && !ground_.takes_request(*listener, exchange.record.client)) {
    answer(x, {.status = 429, .cause = Cause::rate_limited, .close = false});
    return false;
  }
  if (settings.most_body_octets != 0 && head.framing.kind == BodyKind::length &&
      head.framing.length > settings.most_body_octets) {
    answer(x, 413, Cause::body_too_large);
    return false;
  }
  if (settings.redirect) {
    redirect(x, *listener, head);
    return false;
  }
  const service::Listener* target = route(*listener, head.host, head.path);
  if (target == nullptr) {
    answer(x, 503, Cause::listener_stopped);
    return false;
  }
  exchange.record.target = exchange.target = target->id;
  if (target->http->fixed_answer) {
    answer_fixed(x, *target->http->fixed_answer);
    return false;
  }
  if (std::ranges::any_of(head.fields.all(), [&](const Field& field) { return forwards_left(head, field) == 0; })) {
    answer_options(x);
    return false;
  }
  if (service::by_hash(target->scheduler)) {
    exchange.key = key_of(exchange, *target, head);
  }
  judge_cookie(exchange, *target, head);
  if (!compose_request(exchange, *listener, *target, head)) {
    answer(x, 503, Cause::no_room);
    return false;
  }
  return true;
}

// Does a server go on with its sessions? One of weight 0 until its drain is over.
bool Proxy::Machine::keeps_sessions(const service::Listener& target, std::size_t place) {
  return target.servers[place].weight != 0 ||
         (target.http->cookie.drain && !target.state->states[place].sessions_over.load(std::memory_order_acquire));
}

// Which server does the client's session have?
void Proxy::Machine::judge_cookie(Exchange& exchange, const service::Listener& target, const RequestHead& head) {
  const service::SessionCookie& settings = target.http->cookie;
  if (settings.kind == service::SessionCookie::Kind::off || target.tags == nullptr) {
    return;
  }
  const bool inserts = settings.kind == service::SessionCookie::Kind::insert;
  const auto seconds = static_cast<std::uint32_t>(wall_us_ / 1'000'000);
  const auto timeout = static_cast<std::uint32_t>(settings.timeout.count());
  Session session = inserts ? find_inserted(head.fields.all(), settings.name, cookies_, *target.tags, seconds, timeout)
                            : find_marked(head.fields.all(), settings.name, cookies_, *target.tags);
  exchange.set_cookie = inserts;
  exchange.cookie_first_seen = seconds;
  if (session.verdict == CookieVerdict::valid) {
    const service::Server& server = target.servers[session.server];
    const bool up = target.state->states[session.server].up.load(std::memory_order_acquire);
    if (up && keeps_sessions(target, session.server)) {
      exchange.sticky_place = static_cast<std::uint32_t>(session.server);
      exchange.sticky_backend = server.id;
      exchange.cookie_first_seen = session.stamp.first_seen;
      exchange.set_cookie = inserts && SessionCookies::needs_refresh(session.stamp, seconds, timeout);
    } else {
      session.verdict = up ? CookieVerdict::drained : CookieVerdict::down;
    }
  }
  exchange.record.cookie = session.verdict;
}

// Something has come from the client of a request, or more can be sent to it.
void Proxy::Machine::continue_request(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  if (exchange.stage == Stage::tunnel) {
    return continue_tunnel(x);
  }
  if (exchange.stage == Stage::queued || exchange.stage == Stage::connecting) {
    return;
  }
  if (!pass_request_body(x)) {
    return;
  }
  continue_answer(x);
}

// False: the exchange is over.
bool Proxy::Machine::pass_request_body(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  if (exchange.body_taken) {
    return true;
  }
  Link& client = at(exchange.client);
  bool moved = false;
  const Passed passed =
      pass_body(exchange.client, exchange.server, exchange.request_body, moved, exchange.record.octets_in);
  if (moved) {
    exchange.replayable = false;
    exchange.moved = true;
  }
  const std::uint64_t most = settings_of(exchange.listener).most_body_octets;
  if (passed == Passed::refused) {
    exchange.close_client = true;
    fail(x, 400, Cause::bad_request);
    return false;
  }
  if (most != 0 && exchange.request_body.content() > most) {
    exchange.close_client = true;
    fail(x, 413, Cause::body_too_large);
    return false;
  }
  if (passed == Passed::complete) {
    exchange.body_taken = true;
    exchange.moved = true;
    return true;
  }
  if (client.peer_finished && client.received.empty()) {  // in the middle of a body
    fail_silently(x, Cause::client_gone);
    return false;
  }
  return true;
}

// The client's connection is over.
void Proxy::Machine::end_client(LinkIndex index) {
  Link& link = at(index);
  if (link.exchange != nobody) {
    fail_silently(link.exchange, Cause::client_gone);
  }
  free_link(index);
}

void Proxy::Machine::on_client_deadline(LinkIndex index) {
  Link& link = at(index);
  if (link.lingering) {
    if (link.shut && !link.over) {
      ground_.close(link.id, now_);  // TCP still sends what it has
      return free_link(index);
    }
    return abort(index);  // who does not read has had his time
  }
  if (link.exchange != nobody) {
    Exchange& exchange = exchange_at(link.exchange);
    if (exchange.stage == Stage::queued) {
      return fail(link.exchange, 503, Cause::queue_timeout);
    }
    if (!exchange.body_taken && !exchange.head_sent) {
      exchange.close_client = true;
      return fail(link.exchange, 408, Cause::body_timeout);
    }
    return fail_silently(link.exchange, Cause::client_stalled);
  }
  if (link.awaits_header) {
    refuse_proxy_header(index);
  } else if (!link.unsent.empty()) {  // answers that nobody reads
    abort(index);
  } else if (link.began_us != 0) {
    answer_without_request(index, 408, Cause::header_timeout);
  } else {
    close_gently(index);
  }
}

std::uint32_t Proxy::Machine::since(tcp::Time from) const {
  return microseconds(now_ - from);
}

ExchangeIndex Proxy::Machine::make_exchange() {
  const ExchangeIndex x = free_exchanges_;
  if (x != nobody) {
    free_exchanges_ = exchange_at(x).next_free;
    exchange_at(x) = Exchange{};
    counters_.exchanges.add();
  }
  return x;
}

}  // namespace steelyard::http

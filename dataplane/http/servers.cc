// Servers: which one gets a request, connections to them, and what is tried when one fails.
#include <algorithm>
#include <array>

#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

// A server that does not answer a SYN at all is given up before the time for connecting is over, so that another one
// can be tried: after the first repetition of the SYN, at the earliest.
constexpr tcp::Duration least_try = std::chrono::milliseconds{1'200};
// A sticky session's server gets a second try before the session moves.
constexpr std::uint8_t sticky_tries = 2;
// How often a request is sent again whose server has ended the connection without a word: once for a connection that
// was stale, once for a server that has died. More would carry a request that kills servers from one to the next.
constexpr std::uint8_t most_lost = 2;

}  // namespace

// The target of a request that has no server yet, or none any more. A configuration may have taken it away: then it
// goes where its listener sends such requests now, by what the log knows of it; rules need no more than that, but for
// long names.
const service::Listener* Proxy::Machine::target_of(Exchange& exchange) const {
  const service::Listener* target = running(exchange.target);
  const service::Listener* listener = target == nullptr ? running(exchange.listener) : nullptr;
  const AccessRecord& record = exchange.record;
  if (listener == nullptr || record.host.cut) {
    return target;
  }
  const std::string_view text = record.target_text.view();
  target = route(*listener, record.host.view(), text.substr(0, text.find('?')));
  if (target != nullptr) {
    exchange.target = exchange.record.target = target->id;
    exchange.sticky_place = nobody;
  }
  return target;
}

void Proxy::Machine::find_server(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  const service::Listener* target = target_of(exchange);
  if (target == nullptr) {
    return fail(x, 503, Cause::listener_stopped);
  }
  if (target->http->fixed_answer) {  // a configuration that has come meanwhile sends it there
    return answer_fixed(x, *target->http->fixed_answer);
  }
  // Who has come before is served before.
  if (exchange.tries == 0 && queues_[exchange.target.value].length != 0) {
    if (enqueue(x)) {
      queues_[exchange.target.value].freed = true;  // there may be room for this one all the same
    } else {
      fail(x, 503, Cause::queue_full);
    }
    return;
  }
  Cause refused = Cause::no_server;
  const auto place = choose(exchange, *target, refused);
  if (place) {
    return use_server(x, *target, *place);
  }
  if (refused == Cause::queue_full && enqueue(x)) {
    return;
  }
  const bool tried = exchange.tries != 0 && refused == Cause::no_server;
  fail(x, tried ? 502 : 503, tried ? exchange.failure : refused);
}

std::optional<std::uint32_t> Proxy::Machine::choose(Exchange& exchange, const service::Listener& target,
                                                    Cause& refused) {
  const service::SessionCookie& cookie = target.http->cookie;
  if (exchange.sticky_place != nobody) {
    // The configuration may have changed since the cookie was read.
    const bool there = exchange.sticky_place < target.servers.size() &&
                       target.servers[exchange.sticky_place].id == exchange.sticky_backend &&
                       target.state->states[exchange.sticky_place].up.load(std::memory_order_acquire);
    const bool keeps = there && keeps_sessions(target, exchange.sticky_place);
    if (keeps && exchange.sticky_tried < sticky_tries) {
      if (!ground_.has_place(target.servers[exchange.sticky_place])) {
        refused = Cause::queue_full;  // the session waits for its server
        return std::nullopt;
      }
      ++exchange.sticky_tried;
      return exchange.sticky_place;
    }
    exchange.sticky_place = nobody;
    exchange.set_cookie = cookie.kind == service::SessionCookie::Kind::insert;
    exchange.cookie_first_seen = static_cast<std::uint32_t>(wall_us_ / 1'000'000);
    exchange.record.cookie = there && !keeps ? CookieVerdict::drained : CookieVerdict::down;
  }
  if (cookie.strict && exchange.record.cookie == CookieVerdict::down) {
    refused = Cause::sticky_server_down;
    return std::nullopt;
  }
  std::array<std::size_t, Exchange::most_tries> without{};
  std::size_t count = 0;
  for (const service::BackendId tried : std::span(exchange.tried).first(exchange.tries)) {
    const auto found = std::ranges::find(target.servers, tried, &service::Server::id);
    if (found != target.servers.end()) {
      without[count++] = static_cast<std::size_t>(found - target.servers.begin());
    }
  }
  const Ground::Choice choice = ground_.choose(target, exchange.key, std::span(without).first(count));
  refused = choice.refused;
  return choice.server ? std::optional(static_cast<std::uint32_t>(*choice.server)) : std::nullopt;
}

void Proxy::Machine::use_server(ExchangeIndex x, const service::Listener& target, std::uint32_t place) {
  Exchange& exchange = exchange_at(x);
  const service::Server& server = target.servers[place];
  exchange.place = place;
  exchange.record.backend = server.id;
  if (target.http->cookie.kind != service::SessionCookie::Kind::off) {
    exchange.tag = cookies_.tag_of(server);
  }
  ground_.begin_request(target, server);
  exchange.counted = true;
  exchange.try_at = now_;
  if (exchange.record.queue_us == AccessRecord::never) {
    exchange.record.queue_us = since(exchange.head_at);
  }
  const LinkIndex idle = exchange.fresh_only     ? nobody
                         : exchange.preface != 0 ? take_kept(exchange.client, server.id)
                                                 : take_idle(server.id);
  if (idle == nobody) {
    return connect(x, server);
  }
  exchange.server = idle;
  exchange.reused = true;
  exchange.record.connect_us = 0;
  at(idle).exchange = x;
  send_request(x);
}

void Proxy::Machine::connect(ExchangeIndex x, const service::Server& server) {
  Exchange& exchange = exchange_at(x);
  exchange.reused = false;
  const tcp::ConnectionId connection = ground_.connect(server, now_);
  const LinkIndex index = connection == tcp::ConnectionId{} ? nobody : make_link(connection, Side::server);
  if (index == nobody) {
    if (connection != tcp::ConnectionId{}) {
      ground_.abort(connection, now_);
    }
    return fail(x, 503, Cause::no_room);
  }
  Link& link = at(index);
  link.listener = exchange.target;
  link.backend = server.id;
  link.place = exchange.place;
  link.named = exchange.preface != 0;
  link.exchange = x;
  exchange.server = index;
  exchange.stage = Stage::connecting;
  const tcp::Duration time = settings_of(exchange.listener).connect_timeout;
  if (exchange.connect_deadline == tcp::never) {
    exchange.connect_deadline = now_ + time;
  }
  const tcp::Duration half = time / 2;
  set_deadline(index, std::min(exchange.connect_deadline, now_ + std::max(half, least_try)));
}

void Proxy::Machine::on_connect_failed(ExchangeIndex x, Cause why) {
  Exchange& exchange = exchange_at(x);
  let_go_of_server(x, false);
  exchange.failure = why;
  const bool sticky_again = exchange.sticky_place != nobody && exchange.record.backend == exchange.sticky_backend &&
                            exchange.sticky_tried < sticky_tries;
  if (!sticky_again && exchange.tries < Exchange::most_tries) {
    exchange.tried[exchange.tries++] = exchange.record.backend;
  }
  if (exchange.tries == Exchange::most_tries || now_ >= exchange.connect_deadline) {
    return fail(x, 502, why);
  }
  ++exchange.record.retries;
  counters_.retries.add();
  find_server(x);
}

// The server's connection is there: the request's head, and what has come of its body.
void Proxy::Machine::send_request(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  // A connection that is used again has begun with its PROXY header.
  std::uint32_t skipped = at(exchange.server).requests++ == 0 ? 0 : exchange.preface;
  exchange.stage = Stage::waiting;
  exchange.request_at = now_;
  exchange.moved = true;
  exchange.replay.visit(ground_.memory(), [&](const tcp::Slice& slice) {
    const std::uint32_t skip = std::min(skipped, slice.length);
    skipped -= skip;
    if (skip != slice.length) {
      const tcp::Slice rest = slice.from(skip);
      ground_.memory().retain(rest);
      hold(exchange.server, std::span(&rest, 1));
    }
    return true;
  });
  if (exchange.body_taken) {
    static_cast<void>(flush(exchange.server));
  }
  if (pass_request_body(x)) {
    continue_answer(x);  // it may have spoken, or ended, already
  }
}

void Proxy::Machine::serve_server(LinkIndex index) {
  Link& link = at(index);
  const ExchangeIndex x = link.exchange;
  if (x == nobody) {
    // An answer that nobody has asked for, or the end: such a connection is of no use (response queue poisoning).
    if (link.over || !link.received.empty() || link.peer_finished) {
      close_idle(index);
    }
    return;
  }
  Exchange& exchange = exchange_at(x);
  switch (exchange.stage) {
    case Stage::connecting:
      if (link.over) {
        on_connect_failed(x, Cause::connect_failed);
      } else if (link.established) {
        exchange.record.connect_us = since(exchange.try_at);
        set_deadline(index, tcp::never);
        send_request(x);
      }
      break;
    case Stage::tunnel:
    case Stage::waiting:
    case Stage::answering:
      static_cast<void>(flush(index));
      continue_request(x);
      break;
    case Stage::queued:
    case Stage::free:
      break;
  }
}

bool Proxy::Machine::repeatable(const Exchange& exchange) const {
  const bool silent = links_.all[exchange.server].received.empty() && exchange.interims == 0;
  return silent && exchange.replayable && is_idempotent(exchange.method) && exchange.lost != most_lost &&
         exchange.tries != Exchange::most_tries;
}

// A request that is repeatable() has lost its server, and goes to one over a new connection.
void Proxy::Machine::begin_again(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  ++exchange.lost;
  let_go_of_server(x, false);
  exchange.fresh_only = true;
}

// The request is not its last server's any more.
void Proxy::Machine::try_elsewhere(ExchangeIndex x, Cause why) {
  Exchange& exchange = exchange_at(x);
  exchange.failure = why;
  exchange.tried[exchange.tries++] = exchange.record.backend;
  exchange.sticky_tried = sticky_tries;
  ++exchange.record.retries;
  counters_.retries.add();
  find_server(x);
}

// Before the answer's head was complete.
void Proxy::Machine::on_server_lost(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  if (!repeatable(exchange)) {
    return fail(x, 502, Cause::server_closed);
  }
  const bool reused = exchange.reused;
  begin_again(x);
  if (!reused) {
    return try_elsewhere(x, Cause::server_closed);
  }
  // It has closed while it was idle, and our request has crossed its FIN: that is nobody's fault.
  ++exchange.record.retries;
  counters_.retries.add();
  const service::Listener* target = running(exchange.target);
  if (target != nullptr && exchange.place < target->servers.size() &&
      target->servers[exchange.place].id == exchange.record.backend &&
      target->state->states[exchange.place].up.load(std::memory_order_acquire)) {
    return use_server(x, *target, exchange.place);
  }
  find_server(x);
}

// The exchange has no server any more.
void Proxy::Machine::let_go_of_server(ExchangeIndex x, bool reusable) {
  Exchange& exchange = exchange_at(x);
  uncount(exchange);
  const LinkIndex index = exchange.server;
  if (index == nobody) {
    return;
  }
  exchange.server = nobody;
  Link& link = at(index);
  link.exchange = nobody;
  set_deadline(index, tcp::never);
  if (link.over) {
    return free_link(index);
  }
  if (reusable && (!link.named || !exchange.close_client) && link.received.empty() && link.unsent.empty() &&
      !link.peer_finished && !link.broken && still_wanted(link)) {
    return link.named ? keep_server(exchange.client, index) : put_idle(index);
  }
  close_server(index, exchange.stage == Stage::tunnel || (exchange.head_sent && exchange.response_body.complete()));
}

void Proxy::Machine::close_server(LinkIndex index, bool in_order) {
  Link& link = at(index);
  if (!link.over) {
    if (in_order && link.received.empty() && link.unsent.empty()) {
      ground_.close(link.id, now_);
    } else {
      ground_.abort(link.id, now_);
    }
  }
  free_link(index);
}

void Proxy::Machine::uncount(Exchange& exchange) {
  if (exchange.counted) {
    exchange.counted = false;
    ground_.end_request(exchange.target, exchange.record.backend);
    queues_[exchange.target.value].freed = true;
  }
}

void Proxy::Machine::on_server_deadline(LinkIndex index) {
  Link& link = at(index);
  if (link.exchange == nobody) {
    return on_idle_deadline(index);
  }
  const ExchangeIndex x = link.exchange;
  switch (exchange_at(x).stage) {
    case Stage::connecting:
      on_connect_failed(x, Cause::connect_timeout);
      break;
    case Stage::waiting:
      fail(x, 504, Cause::answer_timeout);
      break;
    case Stage::answering:
      fail_silently(x, Cause::answer_stalled);
      break;
    case Stage::tunnel:
      fail_silently(x, Cause::none);
      break;
    case Stage::queued:
    case Stage::free:
      break;
  }
}

}  // namespace steelyard::http

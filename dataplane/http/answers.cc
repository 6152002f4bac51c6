// Answers: from a server's octets to what the client gets, and how an exchange ends.
#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

// 1xx answers that a request may get: more would keep a client waiting for ever, one small answer after the other.
constexpr std::uint8_t most_interims = 16;

}  // namespace

void Proxy::Machine::continue_answer(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  while (exchange.stage == Stage::waiting) {
    Link& server = at(exchange.server);
    const auto end = head_end(server);
    if (end.value_or(server.received.octets()) > most_head_octets) {
      return fail(x, 502, Cause::bad_answer);
    }
    if (!end) {
      return server.over || server.peer_finished ? on_server_lost(x) : arm(x);
    }
    take_answer_head(x, *end);
  }
  if (exchange.stage == Stage::answering && exchange.compressor != no_compressor) {
    compressing_ |= std::uint64_t{1} << exchange.compressor;  // in its turn
  } else if (exchange.stage == Stage::answering) {
    pass_answer_body(x);
  } else if (exchange.stage == Stage::tunnel) {
    continue_tunnel(x);
  }
}

void Proxy::Machine::take_answer_head(ExchangeIndex x, std::size_t octets) {
  Exchange& exchange = exchange_at(x);
  const LinkIndex server = exchange.server;
  ResponseHead& head = response_head_;
  const auto parsed = parse_response(gather(at(server), octets), {.fields = Fields::capacity}, exchange.method, head);
  const bool switches = head.status == 101;
  const bool unasked = !exchange.wants_upgrade || !exchange.body_taken || head.upgrade.empty();
  if (!parsed || (switches && unasked)) {
    return fail(x, 502, Cause::bad_answer);
  }
  at(server).scanned = 0;
  at(server).scanner.reset();
  exchange.moved = true;
  if (head.tier == Tier::ambiguous) {
    exchange.close_client = exchange.close_server = true;
  }
  if (head.is_interim()) {
    if (++exchange.interims > most_interims) {
      return fail(x, 502, Cause::bad_answer);
    }
    exchange.waits_for_continue = false;
    if (!exchange.client_is_1_0) {  // which know no 1xx (RFC 9110 section 15.2)
      exchange.record.octets_out += send_answer_head(x, head);
    }
  } else {
    on_answer(x, head);
  }
  read(server, static_cast<std::uint32_t>(octets));
}

// The head of the final answer.
void Proxy::Machine::on_answer(ExchangeIndex x, const ResponseHead& head) {
  Exchange& exchange = exchange_at(x);
  exchange.record.status = head.status;
  exchange.record.first_octet_us = since(exchange.request_at);
  if (head.status == 101) {
    exchange.record.octets_out += send_answer_head(x, head);
    exchange.head_sent = true;
    exchange.stage = Stage::tunnel;
    exchange.request_body = exchange.response_body = BodyReader({.kind = BodyKind::until_close});
    return;
  }
  // What is still to come of the request's body is read, but nothing may follow it (RFC 9112 section 9.3): an answer
  // before its request's end is often the last one.
  const bool early = !exchange.body_taken;
  // What a client sends after an Upgrade that was not granted may be of the other protocol.
  const bool misled = exchange.wants_upgrade;
  const bool compressed = begin_compression(x, head);
  exchange.strip_framing = exchange.client_is_1_0 && head.framing.kind == BodyKind::chunked;
  exchange.close_server = exchange.close_server || !head.keep_alive || early;
  exchange.close_client = exchange.close_client || early || misled || exchange.strip_framing ||
                          (head.framing.kind == BodyKind::until_close && !compressed) ||
                          running(exchange.listener) == nullptr;
  exchange.response_body = BodyReader(head.framing, compressed               ? BodyReader::Chunks::unwrapped
                                                    : exchange.strip_framing ? BodyReader::Chunks::removed
                                                                             : BodyReader::Chunks::kept);
  exchange.record.octets_out += send_answer_head(x, head);
  exchange.head_sent = true;
  exchange.stage = Stage::answering;
}

void Proxy::Machine::pass_answer_body(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  bool moved = false;
  const Passed passed = pass_body(exchange.server, exchange.client, exchange.response_body, moved,
                                  exchange.record.octets_out, closes_client(exchange) ? Then::fin : Then::more);
  exchange.moved = exchange.moved || moved;
  if (passed == Passed::complete) {
    return finish(x);
  }
  const Link& server = at(exchange.server);
  if (passed == Passed::waits && !has_ended(server)) {
    return arm(x);
  }
  if (passed == Passed::waits && exchange.response_body.kind() == BodyKind::until_close && has_ended_in_order(server)) {
    return finish(x);
  }
  fail_silently(x, Cause::answer_cut_short);
}

void Proxy::Machine::continue_tunnel(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  const LinkIndex client = exchange.client;
  const LinkIndex server = exchange.server;
  bool moved = false;
  static_cast<void>(pass_body(client, server, exchange.request_body, moved, exchange.record.octets_in));
  static_cast<void>(pass_body(server, client, exchange.response_body, moved, exchange.record.octets_out));
  exchange.moved = exchange.moved || moved;
  const bool client_done = finish_direction(client, server);
  const bool server_done = finish_direction(server, client);
  const bool cut = at(client).over || at(server).over;
  if ((client_done && server_done) || (cut && at(server).received.empty())) {
    exchange.close_client = true;
    return finish(x);
  }
  arm(x);
}

// Of a tunnel: tells `to` that `from` has ended, once all has been passed on.
bool Proxy::Machine::finish_direction(LinkIndex from, LinkIndex to) {
  if (!at(from).peer_finished || !at(from).received.empty() || !flush(to)) {
    return false;
  }
  if (!at(to).shut && !at(to).over) {
    at(to).shut = true;
    ground_.shutdown(at(to).id, now_);
  }
  return true;
}

// The answer has been sent, or waits in the client's queue.
void Proxy::Machine::finish(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  const bool close = closes_client(exchange);
  let_go_of_server(x, !exchange.close_server && exchange.body_taken && exchange.stage == Stage::answering);
  const LinkIndex client = exchange.client;
  end_exchange(x);
  settle_client(client, close);
}

void Proxy::Machine::fail(ExchangeIndex x, std::uint16_t status, Cause cause) {
  if (exchange_at(x).head_sent) {
    return fail_silently(x, cause);
  }
  answer(x, status, cause);
}

// The client learns by a reset that its answer is not complete: the end of the connection alone may be the end of a
// body.
void Proxy::Machine::fail_silently(ExchangeIndex x, Cause cause) {
  Exchange& exchange = exchange_at(x);
  exchange.record.cause = cause;
  let_go_of_server(x, false);
  const LinkIndex client = exchange.client;
  end_exchange(x);
  at(client).exchange = nobody;
  abort(client);
}

void Proxy::Machine::end_exchange(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  if (exchange.stage == Stage::queued) {
    dequeue(x);
  }
  exchange.record.total_us = exchange.record.head_us + since(exchange.head_at);
  ground_.log(exchange.record);
  exchange.replay.clear(ground_.memory());
  if (exchange.compressor != no_compressor) {
    end_compression(exchange);
  }
  exchange.stage = Stage::free;
  exchange.next_free = free_exchanges_;
  free_exchanges_ = x;
  counters_.exchanges.subtract();
}

// The client has its answer: the next request, or the end.
void Proxy::Machine::settle_client(LinkIndex index, bool close) {
  Link& link = at(index);
  link.exchange = nobody;
  link.began_us = 0;
  set_deadline(index, tcp::never);
  if (close) {
    close_gently(index);
  } else {
    wake(index);
  }
}

// Whom an exchange waits for, and how long. What moves gives everybody new time.
void Proxy::Machine::arm(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  const auto stuck = [this](LinkIndex index) { return at(index).blocked || !at(index).unsent.empty(); };
  bool on_client = false;
  if (exchange.stage == Stage::answering) {
    on_client = stuck(exchange.client);
  } else if (exchange.stage == Stage::waiting) {
    on_client = !exchange.body_taken && !exchange.waits_for_continue && !stuck(exchange.server);
  }
  if (!exchange.moved && exchange.on_client == on_client) {
    return;
  }
  exchange.moved = false;
  exchange.on_client = on_client;
  const service::HttpSettings& settings = settings_of(exchange.listener);
  const auto patience = exchange.stage == Stage::tunnel ? settings.tunnel_timeout : settings.request_timeout;
  set_deadline(on_client ? exchange.client : exchange.server, now_ + patience);
  set_deadline(on_client ? exchange.server : exchange.client, tcp::never);
}

}  // namespace steelyard::http

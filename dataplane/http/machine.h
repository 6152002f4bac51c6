// The proxy's inside. One class, since a request touches all of it, in several files by what happens:
//
//   proxy.cc     what TCP tells, the turn, timers
//   links.cc     connections: making, sending, closing, letting go
//   requests.cc  clients: heads, admission, routing
//   servers.cc   choosing a server, connections to servers, trying again
//   pool.cc      connections to servers that wait for a request
//   queues.cc    requests that wait for a server with room
//   answers.cc   servers: heads of answers, bodies, tunnels, the end of an exchange
//   own_answers.cc  what we answer ourselves
//   compression.cc  answers that are gzipped
//   withdrawing.cc  servers that are taken away from their requests
//   describe.cc  what connections are doing, for reports
//   compose.cc   heads as they are written anew
//   proxied.cc   whose connections these are: PROXY headers of clients, and of ours to servers
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/http/composition.h"
#include "dataplane/http/compression.h"
#include "dataplane/http/date.h"
#include "dataplane/http/exchange.h"
#include "dataplane/http/ground.h"
#include "dataplane/http/gzip.h"
#include "dataplane/http/link.h"
#include "dataplane/http/proxy.h"
#include "dataplane/http/proxy_protocol.h"
#include "dataplane/http/writer.h"
#include "dataplane/service/stable_array.h"

namespace steelyard::http {

class Proxy::Machine {
 public:
  Machine(const ProxySetup& setup, Ground& ground, tcp::Time now, std::pmr::memory_resource* resource);
  [[nodiscard]] static std::size_t memory_needed(const ProxySetup& setup);

  // proxy.cc
  void set_snapshot(const service::Snapshot* snapshot);
  void detach();
  void accepted(tcp::ConnectionId connection, service::ListenerId listener);
  void deliver(tcp::ConnectionId connection, const tcp::Slice& slice);
  void notify(tcp::ConnectionId connection, tcp::Event event);
  void over(tcp::ConnectionId connection, tcp::Cause cause);
  std::size_t turn(tcp::Time now, std::uint64_t wall_us);
  [[nodiscard]] const ProxyCounters& counters() const { return counters_; }

  // proxied.cc
  void commit_addresses() { addresses_.commit(addresses_.all().size()); }

  // withdrawing.cc
  [[nodiscard]] WithdrawalProgress withdraw(const Withdrawal& which, std::uint32_t from, std::size_t budget,
                                            tcp::Time now);

  // describe.cc
  [[nodiscard]] LinkReport describe(tcp::ConnectionId connection) const;

  struct Links {
    std::pmr::vector<Link> all;
    [[nodiscard]] tcp::TimerLinks& links(std::uint32_t index) { return all[index].timer; }
  };

 private:
  // The longest head that any listener may allow.
  static constexpr std::size_t most_head_octets = 65'536;

  // proxy.cc
  [[nodiscard]] LinkIndex link_of(tcp::ConnectionId connection) const;
  void wake(LinkIndex index);
  void work(LinkIndex index);
  void on_deadline(LinkIndex index);
  void expire(LinkIndex index);
  std::size_t sweep();  // how many connections it has looked at

  // links.cc
  [[nodiscard]] LinkIndex make_link(tcp::ConnectionId connection, Side side);
  void free_link(LinkIndex index);
  void set_deadline(LinkIndex index, tcp::Time when);
  // Takes over the slices' references; they go out in their order, now or when there is room. `fin`: nothing comes
  // after them, and TCP is told so with them if it takes all of them now.
  enum class Then : std::uint8_t { more, fin };
  void send(LinkIndex index, std::span<const tcp::Slice> slices, Then then = Then::more);
  // The same, but they wait for what will be passed on in this turn: so a head and the beginning of its body share a
  // segment. pass_body() and flush() send them.
  void hold(LinkIndex index, std::span<const tcp::Slice> slices);
  // TCP has not taken all.
  void note_blocked(LinkIndex index);
  void feed_starved();
  // Sends what waits; is nothing left?
  [[nodiscard]] bool flush(LinkIndex index);
  // So many octets of `received` are done with.
  void read(LinkIndex index, std::uint32_t octets);
  // Sends what there is, then FIN; what still comes is thrown away for a while, so that the peer reads our last words
  // before a reset (RFC 9112 section 9.6).
  void close_gently(LinkIndex index);
  void serve_lingering(LinkIndex index);
  void abort(LinkIndex index);
  // The first `count` octets that were received, in one piece.
  [[nodiscard]] std::span<const std::uint8_t> gather(const Link& link, std::size_t count);
  // How many octets the head has that begins `received`; nothing: its end has not come.
  [[nodiscard]] std::optional<std::size_t> head_end(Link& link);
  // Passes on what belongs to the body. `octets` grows by what has been.
  enum class Passed : std::uint8_t { waits, complete, refused };
  // `then`: what follows the body's end.
  [[nodiscard]] Passed pass_body(LinkIndex from, LinkIndex to, BodyReader& reader, bool& moved, std::uint64_t& octets,
                                 Then then = Then::more);

  // requests.cc
  void serve_client(LinkIndex index);
  void take_request(LinkIndex index);
  void begin_exchange(LinkIndex index, std::size_t octets);
  [[nodiscard]] bool admit(ExchangeIndex x, const RequestHead& head);
  [[nodiscard]] static bool keeps_sessions(const service::Listener& target, std::size_t place);
  void judge_cookie(Exchange& exchange, const service::Listener& target, const RequestHead& head);
  void continue_request(ExchangeIndex x);
  [[nodiscard]] bool pass_request_body(ExchangeIndex x);
  void end_client(LinkIndex index);
  void on_client_deadline(LinkIndex index);
  [[nodiscard]] const service::Listener* running(service::ListenerId id) const;
  // Where the listener's rules send a request; null: what they lead to is stopped.
  [[nodiscard]] const service::Listener* route(const service::Listener& listener, std::string_view host,
                                               std::string_view path) const;
  // Those of a listener that is gone are the defaults.
  [[nodiscard]] const service::HttpSettings& settings_of(service::ListenerId id) const;
  [[nodiscard]] ExchangeIndex make_exchange();
  [[nodiscard]] std::uint32_t since(tcp::Time from) const;  // microseconds

  // servers.cc
  void find_server(ExchangeIndex x);
  [[nodiscard]] const service::Listener* target_of(Exchange& exchange) const;
  [[nodiscard]] std::optional<std::uint32_t> choose(Exchange& exchange, const service::Listener& target,
                                                    Cause& refused);
  void use_server(ExchangeIndex x, const service::Listener& target, std::uint32_t place);
  void connect(ExchangeIndex x, const service::Server& server);
  void on_connect_failed(ExchangeIndex x, Cause why);
  void send_request(ExchangeIndex x);
  void serve_server(LinkIndex index);
  void on_server_lost(ExchangeIndex x);
  // Can it be sent once more, while nothing of its answer has come?
  [[nodiscard]] bool repeatable(const Exchange& exchange) const;
  void begin_again(ExchangeIndex x);
  void try_elsewhere(ExchangeIndex x, Cause why);
  void let_go_of_server(ExchangeIndex x, bool reusable);
  // `in_order`: all has been said on it. Otherwise a reset, so that the server stops working for nobody.
  void close_server(LinkIndex index, bool in_order);
  void uncount(Exchange& exchange);
  void on_server_deadline(LinkIndex index);

  // pool.cc
  void put_idle(LinkIndex index);
  [[nodiscard]] LinkIndex take_idle(service::BackendId backend);
  void unlink_idle(LinkIndex index);
  void close_idle(LinkIndex index);
  [[nodiscard]] bool still_wanted(const Link& server) const;
  void on_idle_deadline(LinkIndex index);

  // withdrawing.cc
  void withdraw(ExchangeIndex x, bool elsewhere);
  [[nodiscard]] bool concerns(const Withdrawal& which, const Exchange& exchange) const;
  [[nodiscard]] bool concerns_server(const Withdrawal& which, const Link& server) const;

  // queues.cc
  // Of the requests of a target that no server has room for, the first to have come is the first to be asked again.
  struct Queue {
    ExchangeIndex first = 0;       // + 1: all zero is an empty queue
    ExchangeIndex next_asked = 0;  // + 1: where asking goes on; 0: at the first
    ExchangeIndex last = 0;        // + 1
    std::uint32_t length = 0;
    bool listed = false;  // in queued_targets_
    bool freed = false;   // a request of the target has ended
    tcp::Time next_try{};
  };
  // False: the queue is full, or there is none.
  [[nodiscard]] bool enqueue(ExchangeIndex x);
  void dequeue(ExchangeIndex x);
  std::size_t serve_queues();
  std::size_t serve_queue(service::ListenerId target, Queue& queue);

  // answers.cc
  void continue_answer(ExchangeIndex x);
  void take_answer_head(ExchangeIndex x, std::size_t octets);
  void on_answer(ExchangeIndex x, const ResponseHead& head);
  void pass_answer_body(ExchangeIndex x);
  void continue_tunnel(ExchangeIndex x);
  // After the answer.
  [[nodiscard]] static bool closes_client(const Exchange& exchange) {
    return exchange.close_client || !exchange.body_taken;
  }
  [[nodiscard]] bool finish_direction(LinkIndex from, LinkIndex to);
  void finish(ExchangeIndex x);
  // The exchange cannot go on: an answer of ours if none has begun, else the end of the client's connection.
  void fail(ExchangeIndex x, std::uint16_t status, Cause cause);
  void fail_silently(ExchangeIndex x, Cause cause);
  void end_exchange(ExchangeIndex x);
  void settle_client(LinkIndex index, bool close);
  void arm(ExchangeIndex x);

  // compression.cc
  // One bit for each in a word.
  static constexpr std::size_t most_compressors = 64;
  enum class Content : std::uint8_t {
    some,
    none,      // at hand
    complete,  // no more will come
    cut,       // the same, but it is not complete, or malformed
  };
  [[nodiscard]] bool begin_compression(ExchangeIndex x, const ResponseHead& head);
  void end_compression(Exchange& exchange);
  std::size_t serve_compressions();
  void pass_compressed(ExchangeIndex x, std::size_t& left);
  [[nodiscard]] Passed compress_body(ExchangeIndex x, std::size_t& left);
  [[nodiscard]] Content find_content(Exchange& exchange);
  void compress_piece(Exchange& exchange, Content content, std::size_t& left);
  void send_chunk(Exchange& exchange, std::string_view end);
  [[nodiscard]] Passed pass_trailers(Exchange& exchange);

  // own_answers.cc
  using Location = std::array<std::string_view, 6>;  // one after the other; the first is empty: none
  struct OwnAnswer {
    std::uint16_t status = 0;
    Cause cause = Cause::none;
    bool with_body = true;
    bool close = true;
    bool without_content = false;  // the status has none
    Location location{};
    const service::FixedAnswer* fixed = nullptr;  // instead of a page of ours
  };
  // Now, as the Date field says it.
  [[nodiscard]] std::string_view date() { return date_.at(wall_us_ / 1'000'000); }
  [[nodiscard]] const service::FixedAnswer* page_for(service::ListenerId listener, std::uint16_t status) const;
  std::uint64_t write_own(LinkIndex client, const OwnAnswer& own);
  void answer(ExchangeIndex x, OwnAnswer own);
  void answer(ExchangeIndex x, std::uint16_t status, Cause cause) { answer(x, {.status = status, .cause = cause}); }
  void answer_without_request(LinkIndex index, std::uint16_t status, Cause cause);
  void redirect(ExchangeIndex x, const service::Listener& listener, const RequestHead& head);

  void answer_fixed(ExchangeIndex x, const service::FixedAnswer& fixed);
  void answer_options(ExchangeIndex x);

  // compose.cc
  [[nodiscard]] bool compose_request(Exchange& exchange, const service::Listener& listener,
                                     const service::Listener& target, const RequestHead& head);
  [[nodiscard]] std::uint64_t send_answer_head(ExchangeIndex x, const ResponseHead& head);
  void write_forwarded(HeadWriter& writer, const Exchange& exchange, const service::Listener& listener,
                       const RequestHead& head);
  [[nodiscard]] bool write_answer_field(HeadWriter& writer, Exchange& exchange, const service::Listener* target,
                                        const Field& field);
  void write_answer_end(HeadWriter& writer, const Exchange& exchange, const service::Listener* target,
                        const ResponseHead& head, bool has_cache_control);

  // Nothing more comes from a server, and all is read.
  [[nodiscard]] static bool has_ended(const Link& server) {
    return server.received.empty() && (server.peer_finished || server.over);
  }
  // If so: may that be the end of a body?
  [[nodiscard]] static bool has_ended_in_order(const Link& server) {
    return !server.broken && (server.peer_finished || server.cause == tcp::Cause::finished);
  }

  // proxied.cc
  [[nodiscard]] bool is_trusted_proxy(const Link& client) const;
  // The ends of a client's connection, as its PROXY header tells them if there was one.
  [[nodiscard]] ClientAddresses addresses_of(LinkIndex client) const;
  // Takes the header that begins a trusted proxy's connection. False: it has not come yet, or the connection is over.
  [[nodiscard]] bool take_proxy_header(LinkIndex client);
  void refuse_proxy_header(LinkIndex client);
  // A server's connection that has named its client waits for that client's next request.
  void keep_server(LinkIndex client, LinkIndex server);
  [[nodiscard]] LinkIndex take_kept(LinkIndex client, service::BackendId backend);
  void unlink_kept(LinkIndex server);

  [[nodiscard]] Link& at(LinkIndex index) { return links_.all[index]; }
  [[nodiscard]] Exchange& exchange_at(ExchangeIndex index) { return exchanges_[index]; }

  Ground& ground_;
  SessionCookies cookies_;
  const service::Snapshot* snapshot_ = nullptr;
  tcp::Time now_;
  std::uint64_t wall_us_ = 0;
  Date date_;
  Links links_;
  std::pmr::vector<LinkIndex> by_connection_;        // by the index of a TCP connection
  service::StableArray<ClientAddresses> addresses_;  // by LinkIndex: of those that are `proxied`
  LinkIndex free_links_ = nobody;
  LinkIndex first_ready_ = nobody;
  LinkIndex last_ready_ = nobody;
  tcp::TimerWheel<Links> wheel_;
  std::pmr::vector<Exchange> exchanges_;
  ExchangeIndex free_exchanges_ = nobody;
  service::StableArray<LinkIndex> idle_;  // by BackendId: the connection that has been idle for the shortest time, + 1
  service::StableArray<Queue> queues_;    // by ListenerId
  std::vector<service::ListenerId> queued_targets_;  // whose queue is not empty
  std::size_t sweep_at_;                             // where sweep() goes on; all links: done
  std::vector<LinkIndex> starved_;                   // could not send for want of nodes
  std::size_t most_idle_;                            // servers' connections that wait for a request
  std::vector<tcp::ConnectionId> unwanted_;          // came when no link was free
  std::vector<std::uint8_t> scratch_;                // a head that has come in pieces
  RequestHead request_head_;                         // of the call at hand: too large for a stack frame in a hot path
  ResponseHead response_head_;
  Composition::Slices slices_;
  GzipPool compressors_;
  std::vector<Compression> compressions_;  // by the index of a compressor; one bit for each in these:
  std::uint64_t compressing_ = 0;          // there may be something to do
  std::uint64_t roomless_ = 0;             // no buffer was left in this turn
  std::uint64_t holding_ = 0;              // has something that the client waits for, and nothing follows
  std::uint64_t left_over_ = 0;            // not done at the end of the last turn
  CompressorIndex next_compressed_ = 0;    // where the round goes on
  ProxyCounters counters_;
};

}  // namespace steelyard::http

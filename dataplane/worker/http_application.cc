#include "dataplane/worker/http_application.h"

#include <time.h>

#include <algorithm>

namespace steelyard::worker {
namespace {

using packet::DropReason;
using namespace std::chrono_literals;

// Listeners, and connections, that a turn looks at after a configuration: two or three cache misses each, so some tens
// of microseconds.
constexpr std::size_t listeners_a_turn = 128;
constexpr std::size_t peers_a_turn = 256;
// The wall clock may be set, and ours is not slewed as it is: milliseconds a day. It is read without a system call, but
// not on every machine (vDSO, by its clock source): so not each turn.
constexpr tcp::Duration clock_renewal = 1s;
// What one who waits for bandwidth is sent at least, if he has so much: what a received buffer holds.
constexpr std::uint64_t buffer_octets = 2'048;
constexpr std::uint64_t most_woken_a_turn = 64;
// More are accepted in no turn: 32 from each link and each other worker.
constexpr std::size_t most_unwanted_a_turn = 32 * 2 * service::max_workers;

service::Address address_of(const tcp::Ipv6Address& address) {
  return service::Address::from_v6(address.bytes());
}

// Where buffers are not ample, no more waits for a client that takes nothing.
constexpr std::uint32_t waiting_for_a_client = 16 * 1'024;
// More than a server sends before it has heard from us (RFC 6928), and little to hold for a client that stalls.
constexpr std::uint32_t server_window = 32 * 1'024;

// How long clients may be silent is the proxy's to say (HttpSettings); TCP finds out who has gone without a word. Two
// minutes, as a NAT on the way must keep an idle connection (RFC 5382 says more, home routers do less).
tcp::Settings client_settings(std::uint16_t mtu) {
  tcp::Settings settings;
  settings.mtu = mtu;
  settings.unsent = waiting_for_a_client;
  settings.keepalive_idle = 60s;
  settings.keepalive_interval = 15s;
  settings.keepalive_probes = 4;
  return settings;
}

// Servers are near: what is not acknowledged in half a minute, five timeouts at least, goes nowhere, and its client
// waits. Idle connections are the proxy's pool: a dead one must not be found out by a request. The time to connect is
// the proxy's.
tcp::Settings server_settings(std::uint16_t mtu) {
  tcp::Settings settings;
  settings.mtu = mtu;
  settings.receive_start = server_window;
  settings.user_timeout = 30s;
  settings.keepalive_idle = 30s;
  settings.keepalive_interval = 5s;
  settings.keepalive_probes = 3;
  return settings;
}

}  // namespace

// Through which port a client comes nobody knows before: the narrowest of all is taken, so that no segment is too large
// for the way back.
HttpApplication::HttpApplication(const http::ProxySetup& setup, std::span<const std::uint16_t> mtus, AccessRing& log,
                                 RequestTables& requests)
    : setup_(setup),
      log_(log),
      requests_(requests),
      clients_(client_settings(mtus.empty() ? 1'500 : *std::ranges::min_element(mtus))) {
  for (const std::uint16_t mtu : mtus) {
    if (std::ranges::find(servers_, mtu, &tcp::Settings::mtu) == servers_.end()) {
      servers_.push_back(server_settings(mtu));
    }
  }
  if (servers_.empty()) {
    servers_.push_back(server_settings(clients_.mtu));
  }
}

HttpApplication::~HttpApplication() = default;

std::size_t HttpApplication::memory_needed(const http::ProxySetup& setup) {
  return http::Proxy::memory_needed(setup) + setup.connections * sizeof(Peer) +
         WaitingClients::memory_needed(setup.connections);
}

void HttpApplication::attach(TcpHost& host) {
  host_ = &host;
  balancer_ = host.balancer();
  for (const service::Address& local : host.addresses()) {
    locals_[local.is_v4() ? 0 : 1].push_back(local);
  }
  peers_.resize(setup_.connections);
  waiting_.emplace(setup_.connections, service::max_listeners + 1U, &pages_);
  unwanted_.reserve(most_unwanted_a_turn);
  index_of_.resize(service::max_listeners + 1, not_listening);
  id_of_.resize(service::max_listeners + 1);
  proxy_ = std::make_unique<http::Proxy>(setup_, static_cast<http::Ground&>(*this), host.now(), &pages_);
}

void HttpApplication::detach() {
  proxy_->detach();
}

// --- the configuration ------------------------------------------------------------------------------------------

void HttpApplication::configure(const service::Snapshot& snapshot) {
  snapshot_ = &snapshot;
  proxy_->set_snapshot(&snapshot);
  next_listener_ = 0;
  next_peer_ = 0;
}

// The listener, if it is one that clients may come to now. A target that is not a listener by itself is not in the
// index.
const service::Listener* HttpApplication::wanted(service::ListenerId id) const {
  const service::Listener* listener = snapshot_->find(id);
  return listener != nullptr && listener->http != nullptr && listener->running &&
                 snapshot_->index->find(listener->key) == id
             ? listener
             : nullptr;
}

// Brings the stack's listener in line with the configuration's. An id may be another listener's than it was.
void HttpApplication::settle(service::ListenerId id) {
  const service::Listener* listener = wanted(id);
  tcp::ListenerIndex& index = index_of_[id.value];
  tcp::Stack& stack = host_->stack();
  if (index != not_listening &&
      (listener == nullptr ||
       stack.listening_at(index) != tcp::Stack::ListeningAt{to_tcp(listener->key.address), listener->key.port})) {
    stack.stop_listening(index);
    id_of_[index] = {};
    index = not_listening;
  }
  if (index == not_listening && listener != nullptr) {
    index = stack.listen(to_tcp(listener->key.address), listener->key.port, clients_);
    id_of_[index] = id;
    listening_below_ = std::max<std::size_t>(listening_below_, id.value + 1U);
  }
}

std::size_t HttpApplication::settle_some() {
  const std::size_t end = std::max(snapshot_->listeners.size(), listening_below_);
  const std::size_t until = std::min(end, next_listener_ + listeners_a_turn);
  const std::size_t count = until - std::min(until, next_listener_);
  for (; next_listener_ < until; ++next_listener_) {
    settle({static_cast<std::uint16_t>(next_listener_)});
  }
  return count;
}

// Clients that a new access list does not let in any more lose their connections, as control's walk ends flows.
std::size_t HttpApplication::shut_some_out(tcp::Time now) {
  const std::size_t until = std::min(peers_.size(), next_peer_ + peers_a_turn);
  const std::size_t count = until - next_peer_;
  for (; next_peer_ < until; ++next_peer_) {
    const Peer& peer = peers_[next_peer_];
    if (peer.kind != Peer::Kind::client) {
      continue;
    }
    const service::Listener* listener = snapshot_->find(peer.listener);
    if (listener != nullptr && listener->access != nullptr && !listener->access->allows(peer.client)) {
      host_->stack().abort({static_cast<std::uint32_t>(next_peer_), peer.generation}, now);
    }
  }
  return count;
}

// --- what TCP tells -----------------------------------------------------------------------------------------------

void HttpApplication::accepted(tcp::ConnectionId connection, tcp::ListenerIndex index) {
  const tcp::Endpoints& ends = *host_->stack().endpoints_of(connection);
  const service::Listener* listener = wanted(id_of_[index]);
  Peer& peer = peers_[connection.index];
  peer = {.client = address_of(ends.remote), .generation = connection.generation, .server = {}, .listener = {}};
  // Its SYN has come before a configuration that has no such listener any more.
  const bool late =
      listener == nullptr || listener->key.port != ends.local_port || listener->key.address != address_of(ends.local);
  if (late || !balancer_->client_comes(*listener, peer.client)) {
    peer.kind = Peer::Kind::unwanted;
    unwanted_.push_back(connection);
    return;
  }
  peer.listener = listener->id;
  peer.kind = Peer::Kind::client;
  proxy_->accepted(connection, listener->id);
}

void HttpApplication::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  const Peer& peer = peers_[connection.index];
  if (peer.kind == Peer::Kind::unwanted) {
    TcpHost::release(slice);
    return;
  }
  if (peer.kind == Peer::Kind::server) {
    balancer_->count_payload(peer.server, l4::Side::server, slice.length);
  }
  proxy_->deliver(connection, slice);
}

void HttpApplication::notify(tcp::ConnectionId connection, tcp::Event event) {
  if (peers_[connection.index].kind != Peer::Kind::unwanted) {
    proxy_->notify(connection, event);
  }
}

void HttpApplication::over(tcp::ConnectionId connection, tcp::Cause cause) {
  Peer& peer = peers_[connection.index];
  const Peer::Kind kind = peer.kind;
  peer.kind = Peer::Kind::nobody;
  waiting_->remove(connection.index);
  if (kind == Peer::Kind::unwanted) {
    return;
  }
  if (kind == Peer::Kind::client) {
    balancer_->client_goes(peer.listener, peer.client);
  }
  proxy_->over(connection, cause);
}

http::WithdrawalProgress HttpApplication::withdraw(const l4::FlowFilter& filter, std::uint32_t from, std::size_t budget,
                                                   tcp::Time now) {
  if (filter.shut_out) {  // shut_some_out() ends them
    return {};
  }
  http::Withdrawal which{.client = filter.client,
                         .server = filter.server,
                         .server_port = filter.server_port,
                         .listener = filter.listener,
                         .backends = {}};
  if (filter.backends) {
    which.backends = *filter.backends;
  }
  return proxy_->withdraw(which, from, budget, now);
}

// When all is said the proxy forgets a connection, and TCP goes on with it to its end.
http::LinkReport HttpApplication::describe(tcp::ConnectionId connection) const {
  http::LinkReport report = proxy_->describe(connection);
  if (report.side == http::Side::none) {
    const Peer& peer = peers_[connection.index];
    report.side = peer.kind == Peer::Kind::server ? http::Side::server : http::Side::client;
    report.activity = http::Activity::closing;
    report.listener = peer.listener;
  }
  return report;
}

void HttpApplication::end_unwanted(tcp::Time now) {
  for (const tcp::ConnectionId connection : unwanted_) {
    host_->stack().abort(connection, now);
  }
  unwanted_.clear();
}

std::uint64_t HttpApplication::wall_us(tcp::Time now) {
  const auto now_us = static_cast<std::uint64_t>(now.time_since_epoch().count());
  if (now >= clock_due_) {
    clock_due_ = now + clock_renewal;
    timespec wall{};
    clock_gettime(CLOCK_REALTIME, &wall);
    wall_offset_us_ = static_cast<std::uint64_t>(wall.tv_sec) * 1'000'000U +
                      static_cast<std::uint64_t>(wall.tv_nsec) / 1'000U - now_us;
  }
  return wall_offset_us_ + now_us;
}

std::size_t HttpApplication::turn(tcp::Time now) {
  std::size_t done = unwanted_.size();
  end_unwanted(now);
  done += settle_some();
  done += shut_some_out(now);
  done += wake_waiting();
  return done + proxy_->turn(now, wall_us(now));
}

// --- what the proxy asks ------------------------------------------------------------------------------------------

std::size_t HttpApplication::send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time now) {
  return send(connection, slices, now, false);
}

std::size_t HttpApplication::send_last(tcp::ConnectionId connection, std::span<const tcp::Slice> slices,
                                       tcp::Time now) {
  return send(connection, slices, now, true);
}

std::size_t HttpApplication::send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time now,
                                  bool last) {
  const Peer& peer = peers_[connection.index];
  if (peer.kind == Peer::Kind::client) {
    const service::Listener* listener = snapshot_->find(peer.listener);
    if (listener != nullptr && listener->bandwidth != 0) [[unlikely]] {
      return send_to_client(*listener, connection, slices, now, last);
    }
  }
  const std::size_t taken = host_->stack().send(connection, slices, now, last);
  if (taken != 0 && peer.kind == Peer::Kind::server) {
    for (const tcp::Slice& slice : slices.first(taken)) {
      balancer_->count_payload(peer.server, l4::Side::client, slice.length);
    }
  }
  return taken;
}

// --- bandwidth ----------------------------------------------------------------------------------------------------

// As many slices as there is credit for, and one at least while there is any. The others, and their client, wait.
std::size_t HttpApplication::send_to_client(const service::Listener& listener, tcp::ConnectionId connection,
                                            std::span<const tcp::Slice> slices, tcp::Time now, bool last) {
  const std::uint64_t credit = balancer_->bandwidth_credit(listener);
  std::size_t within = 0;
  for (std::uint64_t octets = 0; within < slices.size() && octets < credit; ++within) {
    octets += slices[within].length;
  }
  std::size_t taken = 0;
  if (within != 0 || slices.empty()) {
    taken = host_->stack().send(connection, slices.first(within), now, last && within == slices.size());
    balancer_->use_bandwidth(listener.id, octets_on_the_link(peers_[connection.index], slices.first(taken)));
  }
  if (taken == within && within < slices.size()) {  // else TCP tells when it can be gone on with
    waiting_->add(connection.index, listener.id);
  }
  return taken;
}

// With the headers of full segments, whose timestamps most clients want.
std::uint64_t HttpApplication::octets_on_the_link(const Peer& client, std::span<const tcp::Slice> slices) const {
  const std::uint64_t headers = packet::tcp_header_size + tcp::timestamps_size +
                                (client.client.is_v4() ? packet::Ipv4::header_size : packet::Ipv6::header_size);
  std::uint64_t payload = 0;
  for (const tcp::Slice& slice : slices) {
    payload += slice.length;
  }
  const std::uint64_t room = clients_.mtu - headers;
  return payload + headers * ((payload + room - 1) / room);
}

// As many as may be sent a full buffer each: more would find the credit used up, and go to the end of the queue.
std::size_t HttpApplication::wake_waiting() {
  std::size_t woken = 0;
  waiting_->visit([&](service::ListenerId id, auto&& next) {
    const service::Listener* listener = snapshot_->find(id);
    const bool limited = listener != nullptr && listener->bandwidth != 0;
    const std::uint64_t credit = limited ? balancer_->bandwidth_credit(*listener) : most_woken_a_turn * buffer_octets;
    const std::uint64_t most = std::min((credit + buffer_octets - 1) / buffer_octets, most_woken_a_turn);
    for (std::uint64_t count = 0; count < most; ++count, ++woken) {
      const std::optional<std::uint32_t> index = next();
      if (!index) {
        return;
      }
      proxy_->notify({*index, peers_[*index].generation}, tcp::Event::writable);
    }
  });
  return woken;
}

void HttpApplication::consume(tcp::ConnectionId connection, std::uint32_t octets, tcp::Time now) {
  host_->stack().consume(connection, octets, now);
}

void HttpApplication::shutdown(tcp::ConnectionId connection, tcp::Time now) {
  host_->stack().shutdown(connection, now);
}

void HttpApplication::close(tcp::ConnectionId connection, tcp::Time now) {
  host_->stack().close(connection, now);
}

void HttpApplication::abort(tcp::ConnectionId connection, tcp::Time now) {
  host_->stack().abort(connection, now);
}

const tcp::Settings& HttpApplication::settings_towards(std::uint16_t mtu) const {
  const auto found = std::ranges::find(servers_, mtu, &tcp::Settings::mtu);
  return found != servers_.end() ? *found : servers_.front();
}

tcp::ConnectionId HttpApplication::connect(const service::Server& server, tcp::Time now) {
  const std::vector<service::Address>& locals = locals_[server.address.is_v4() ? 0 : 1];
  const auto mtu = host_->mtu_towards(server.address);
  for (std::size_t tries = 0; mtu && tries < locals.size(); ++tries) {
    const service::Address& local = locals[next_local_++ % locals.size()];
    const tcp::ConnectionId id = host_->connect(local, server.address, server.port, settings_towards(*mtu), now);
    if (host_->stack().find(id) != nullptr) {
      peers_[id.index] = {
          .client = {}, .generation = id.generation, .server = server.id, .listener = {}, .kind = Peer::Kind::server};
      return id;
    }
  }
  return {};
}

const tcp::Endpoints* HttpApplication::endpoints_of(tcp::ConnectionId connection) const {
  return host_->stack().endpoints_of(connection);
}

std::optional<http::Ground::Room> HttpApplication::allocate() {
  nic::Packet buffer = host_->payload().allocate();
  if (!buffer) {
    return std::nullopt;
  }
  const std::span octets(rte_pktmbuf_mtod(buffer.get(), std::uint8_t*), rte_pktmbuf_tailroom(buffer.get()));
  return Room{TcpHost::slice_of(buffer.release()), octets};
}

http::Ground::Slack HttpApplication::slack() const {
  const nic::MbufPool& pool = host_->payload();
  return {.keeps_up = host_->stack().keeps_up(),
          .free_eighths = static_cast<std::uint8_t>(std::uint64_t{pool.available()} * 8 / pool.capacity())};
}

const std::uint8_t* HttpApplication::data_of(const tcp::Slice& slice) const {
  return TcpHost::data_of(slice);
}

tcp::Memory& HttpApplication::memory() {
  return host_->memory();
}

void HttpApplication::compact(tcp::SliceQueue& queue) {
  host_->compact(queue);
}

bool HttpApplication::takes_request(const service::Listener& listener, const service::Address& client) {
  return balancer_->takes_request(listener, client);
}

http::Ground::Choice HttpApplication::choose(const service::Listener& target, schedule::ClientKey key,
                                             std::span<const std::size_t> without) {
  const l4::ServerChoice choice = balancer_->choose(target, key, without);
  return {choice.server,
          choice.refused == DropReason::no_usable_server ? http::Cause::no_server : http::Cause::queue_full};
}

bool HttpApplication::has_place(const service::Server& server) const {
  return balancer_->has_place(server);
}

void HttpApplication::begin_request(const service::Listener& target, const service::Server& server) {
  balancer_->begin_request(target, server.id);
}

void HttpApplication::end_request(service::ListenerId target, service::BackendId server) {
  balancer_->end_request(target, server);
}

void HttpApplication::log(const http::AccessRecord& record) {
  requests_.add(record);
  static_cast<void>(log_.push(record));
}

}  // namespace steelyard::worker

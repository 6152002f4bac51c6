#include "tests/unit/http/proxy_world.h"

#include <algorithm>
#include <cstring>

#include "dataplane/http/date.h"

namespace steelyard::http {

struct ProxyWorld::Buffer {
  std::vector<std::uint8_t> octets;
  int references = 1;
};

std::size_t ProxyWorld::live_buffers = 0;

namespace {

service::Address address(std::string_view text) {
  return *service::Address::parse(text);
}

// As clients see it: they have come to the listener's address.
tcp::Endpoints endpoints_between(const service::Address& remote, std::uint16_t port) {
  tcp::Endpoints endpoints{};
  std::memcpy(&endpoints.remote, remote.v6().data(), 16);
  std::memcpy(&endpoints.local, address("192.0.2.1").v6().data(), 16);
  endpoints.remote_port = port;
  endpoints.local_port = 80;
  return endpoints;
}

}  // namespace

ProxyWorld::ProxyWorld(Options options)
    : options_(std::move(options)), memory_(4'096, {&ProxyWorld::retain, &ProxyWorld::release}) {
  listener_ = std::make_shared<service::Listener>();
  listener_->id = service::ListenerId{1};
  listener_->key = {address("192.0.2.1"), 80, service::Protocol::tcp};
  std::vector<std::uint64_t> tags;
  const SessionCookies cookies{CookieKey{}};
  for (std::size_t place = 0; place < options_.servers; ++place) {
    service::Server server;
    server.address = address("10.0.0." + std::to_string(place + 1));
    server.port = 8'080;
    server.id = service::BackendId{static_cast<std::uint32_t>(place + 1)};
    listener_->servers.push_back(server);
    tags.push_back(cookies.tag_of(server).value);
  }
  listener_->state = std::make_shared<service::ListenerState>(options_.servers);
  listener_->tags = std::make_shared<service::ServerTags>(tags);
  listener_->http = std::make_shared<service::HttpSettings>(options_.http);
  for (std::size_t index = options_.connections; index-- > 0;) {
    free_indices_.push_back(static_cast<std::uint32_t>(index));
  }
  proxy_ = std::make_unique<Proxy>(ProxySetup{.connections = options_.connections,
                                              .exchanges = options_.exchanges,
                                              .compressors = options_.compressors,
                                              .cookie_key = {}},
                                   static_cast<Ground&>(*this), now_);
  proxy_->commit_addresses();
  publish();
}

ProxyWorld::~ProxyWorld() {
  for (std::size_t number = 0; number < peers_.size(); ++number) {
    resets(number);
  }
  EXPECT_EQ(proxy_->counters().clients.get(), 0U);
  EXPECT_EQ(proxy_->counters().servers.get(), 0U);
  EXPECT_EQ(proxy_->counters().exchanges.get(), 0U);
  for (const auto& [server, count] : counted_) {
    EXPECT_EQ(count, 0) << "requests counted at server " << server;
  }
  proxy_->detach();
  EXPECT_EQ(memory_.used(), 0U);
  EXPECT_EQ(live_buffers, 0U);
}

// --- peers -----------------------------------------------------------------------------------------------------------

tcp::ConnectionId ProxyWorld::next_id() {
  if (free_indices_.empty()) {
    return {};
  }
  const std::uint32_t index = free_indices_.back();
  free_indices_.pop_back();
  return {index, ++generation_};
}

std::size_t ProxyWorld::add_peer(tcp::ConnectionId id, const tcp::Endpoints& endpoints) {
  Peer peer;
  peer.id = id;
  peers_.push_back(peer);
  by_index_[id.index] = peers_.size() - 1;
  endpoints_[id.index] = endpoints;
  return peers_.size() - 1;
}

Peer* ProxyWorld::find(tcp::ConnectionId connection) {
  const auto found = by_index_.find(connection.index);
  return found != by_index_.end() && peers_[found->second].id == connection ? &peers_[found->second] : nullptr;
}

void ProxyWorld::gone(Peer& peer) {
  if (!peer.gone) {
    peer.gone = true;
    by_index_.erase(peer.id.index);
    free_indices_.push_back(peer.id.index);
  }
}

std::size_t ProxyWorld::client(std::string_view from) {
  const tcp::ConnectionId id = next_id();
  const std::size_t number = add_peer(id, endpoints_between(address(from), 40'000));
  proxy_->accepted(id, listener_->id);
  turn();
  return number;
}

void ProxyWorld::says(std::size_t number, std::string_view octets) {
  for (; options_.piece == 1 && octets.size() > 1; octets.remove_prefix(1)) {
    brings(number, octets.substr(0, 1));
    turn();
  }
  brings(number, octets);
  turn();
}

void ProxyWorld::brings(std::size_t number, std::string_view octets) {
  Peer& peer = peers_[number];
  while (!octets.empty()) {
    const std::string_view piece = octets.substr(0, options_.piece);
    octets.remove_prefix(piece.size());
    Buffer* buffer = make_buffer(piece, 0);
    peer.delivered += piece.size();
    proxy_->deliver(peer.id, {reinterpret_cast<tcp::Buffer*>(buffer), 0, static_cast<std::uint32_t>(piece.size())});
  }
}

void ProxyWorld::finishes(std::size_t number) {
  proxy_->notify(peers_[number].id, tcp::Event::peer_finished);
  turn();
}

void ProxyWorld::resets(std::size_t number) {
  Peer& peer = peers_[number];
  if (!peer.gone) {
    const tcp::ConnectionId id = peer.id;
    gone(peer);
    proxy_->over(id, tcp::Cause::reset_by_peer);
  }
  turn();
}

void ProxyWorld::refuses(std::size_t number) {
  Peer& peer = peers_[number];
  const tcp::ConnectionId id = peer.id;
  gone(peer);
  proxy_->over(id, tcp::Cause::refused);
  turn();
}

void ProxyWorld::accepts(std::size_t number) {
  proxy_->notify(peers_[number].id, tcp::Event::established);
  turn();
}

std::string ProxyWorld::heard(std::size_t number) {
  std::string text = heard_with_date(number);
  Date date;
  for (std::uint64_t second = begun_us / 1'000'000; second <= wall_seconds(); ++second) {
    const std::string line = "Date: " + std::string(date.at(second)) + "\r\n";
    for (std::size_t place = text.find(line); place != std::string::npos; place = text.find(line)) {
      text.erase(place, line.size());
    }
  }
  return text;
}

std::string ProxyWorld::heard_with_date(std::size_t number) {
  peers_[number].sends = 0;
  return std::exchange(peers_[number].sent, {});
}

void ProxyWorld::set_room(std::size_t number, std::size_t octets) {
  Peer& peer = peers_[number];
  peer.room = octets;
  if (octets != 0 && std::exchange(peer.blocked, false)) {
    proxy_->notify(peer.id, tcp::Event::writable);
    turn();
  }
}

// --- the world -------------------------------------------------------------------------------------------------------

void ProxyWorld::turn() {
  for (int turns = 0; turns < 10'000; ++turns) {
    for (const std::size_t number : std::exchange(to_accept_, {})) {
      if (!peers_[number].gone) {
        proxy_->notify(peers_[number].id, tcp::Event::established);
      }
    }
    if (proxy_->turn(now_, wall_us_) == 0 && to_accept_.empty()) {
      return;
    }
  }
  ADD_FAILURE() << "the proxy does not come to rest";
}

void ProxyWorld::advance(std::chrono::milliseconds time) {
  for (auto left = time; left.count() > 0;) {
    const auto step = std::min(left, std::chrono::milliseconds{50});
    now_ += step;
    wall_us_ += static_cast<std::uint64_t>(step.count()) * 1'000;
    left -= step;
    turn();
  }
}

void ProxyWorld::flood(std::size_t clients) {
  for (std::size_t number = 0; number < clients; ++number) {
    const tcp::ConnectionId id = next_id();
    if (id == tcp::ConnectionId{}) {
      return;
    }
    const std::size_t peer = add_peer(id, endpoints_between(address("198.51.100.9"), 40'000));
    proxy_->accepted(id, listener_->id);
    gone(peers_[peer]);
    proxy_->over(id, tcp::Cause::reset_by_peer);
  }
}

std::size_t ProxyWorld::turn_after(std::chrono::milliseconds time) {
  now_ += time;
  wall_us_ += static_cast<std::uint64_t>(time.count()) * 1'000;
  return proxy_->turn(now_, wall_us_);
}

void ProxyWorld::publish() {
  auto snapshot = std::make_shared<service::Snapshot>();
  snapshot->listeners.resize(2);
  snapshot->listeners[1] = std::make_shared<service::Listener>(*listener_);
  proxy_->set_snapshot(snapshot.get());
  published_.push_back(std::move(snapshot));
  turn();
}

void ProxyWorld::publish_with_rule(const char* url) {
  constexpr service::ListenerId target_id{2};
  auto snapshot = std::make_shared<service::Snapshot>();
  auto listener = std::make_shared<service::Listener>(*listener_);
  auto target = std::make_shared<service::Listener>(*listener_);
  auto http = std::make_shared<service::HttpSettings>(*listener_->http);
  http->rules = std::make_shared<const service::ForwardingRules>(
      std::vector<service::ForwardingRule>{{.domain = {}, .url = url, .target = target_id}});
  listener->http = std::move(http);
  target->id = target_id;
  snapshot->listeners = {nullptr, std::move(listener), std::move(target)};
  proxy_->set_snapshot(snapshot.get());
  published_.push_back(std::move(snapshot));
  turn();
}

void ProxyWorld::set_up(std::size_t server, bool up) {
  listener_->state->states[server].up.store(up);
}

std::size_t ProxyWorld::withdraw(const Withdrawal& which, std::size_t budget) {
  std::size_t ended = 0;
  std::optional<std::uint32_t> next = 0;
  while (next) {
    const WithdrawalProgress progress = proxy_->withdraw(which, *next, budget, now_);
    ended += progress.ended;
    next = progress.next;
  }
  turn();
  return ended;
}

int ProxyWorld::requests_at(std::size_t server) const {
  const auto found = counted_.find(listener_->servers[server].id.value);
  return found == counted_.end() ? 0 : found->second;
}

// --- Ground ----------------------------------------------------------------------------------------------------------

std::size_t ProxyWorld::send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time /*now*/) {
  Peer* peer = find(connection);
  if (peer == nullptr) {
    ADD_FAILURE() << "something is sent on a connection that is over";
    return 0;
  }
  EXPECT_FALSE(peer->finished) << "something is sent behind a FIN";
  std::size_t taken = 0;
  for (const tcp::Slice& slice : slices) {
    if (peer->room == 0) {
      peer->blocked = true;
      break;
    }
    peer->room -= std::min<std::size_t>(peer->room, slice.length);
    peer->sent.append(reinterpret_cast<const char*>(data_of(slice)), slice.length);
    release(slice.buffer);
    ++taken;
  }
  peer->sends += taken != 0 ? 1 : 0;
  return taken;
}

std::size_t ProxyWorld::send_last(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time now) {
  const std::size_t taken = Ground::send_last(connection, slices, now);
  if (Peer* peer = find(connection)) {
    peer->fin_with_last = peer->finished;
  }
  return taken;
}

void ProxyWorld::consume(tcp::ConnectionId connection, std::uint32_t octets, tcp::Time /*now*/) {
  if (Peer* peer = find(connection)) {
    peer->consumed += octets;
    EXPECT_LE(peer->consumed, peer->delivered);
  }
}

void ProxyWorld::shutdown(tcp::ConnectionId connection, tcp::Time /*now*/) {
  if (Peer* peer = find(connection)) {
    peer->finished = true;
  }
}

void ProxyWorld::close(tcp::ConnectionId connection, tcp::Time /*now*/) {
  if (Peer* peer = find(connection)) {
    peer->finished = true;
    gone(*peer);
    proxy_->over(connection, tcp::Cause::finished);
  }
}

void ProxyWorld::abort(tcp::ConnectionId connection, tcp::Time /*now*/) {
  if (Peer* peer = find(connection)) {
    peer->reset = true;
    gone(*peer);
    proxy_->over(connection, tcp::Cause::aborted);
  }
}

tcp::ConnectionId ProxyWorld::connect(const service::Server& server, tcp::Time /*now*/) {
  const tcp::ConnectionId id = next_id();
  if (id == tcp::ConnectionId{}) {
    return id;
  }
  const std::size_t number = add_peer(id, endpoints_between(server.address, server.port));
  peers_[number].server = server.address;
  peers_[number].port = server.port;
  opened_.push_back(number);
  if (accept_at_once) {
    to_accept_.push_back(number);
  }
  return id;
}

const tcp::Endpoints* ProxyWorld::endpoints_of(tcp::ConnectionId connection) const {
  const auto found = endpoints_.find(connection.index);
  return found == endpoints_.end() ? nullptr : &found->second;
}

std::optional<Ground::Room> ProxyWorld::allocate() {
  if (no_rooms_) {
    return std::nullopt;
  }
  Buffer* buffer = make_buffer({}, 200);
  return Room{{reinterpret_cast<tcp::Buffer*>(buffer), 0, 0}, buffer->octets};
}

const std::uint8_t* ProxyWorld::data_of(const tcp::Slice& slice) const {
  return reinterpret_cast<const Buffer*>(slice.buffer)->octets.data() + slice.offset;
}

bool ProxyWorld::takes_request(const service::Listener& /*listener*/, const service::Address& /*client*/) {
  return requests_left_-- > 0;
}

Ground::Choice ProxyWorld::choose(const service::Listener& target, schedule::ClientKey key,
                                  std::span<const std::size_t> without) {
  last_key_ = key;
  bool full = false;
  for (std::size_t tries = 0; tries < target.servers.size(); ++tries) {
    const std::size_t place = rotation_++ % target.servers.size();
    if (target.state->states[place].up.load() && target.servers[place].weight != 0 &&
        std::ranges::find(without, place) == without.end()) {
      if (has_place(target.servers[place])) {
        return {place, Cause::none};
      }
      full = true;
    }
  }
  return {std::nullopt, full ? Cause::queue_full : Cause::no_server};
}

bool ProxyWorld::has_place(const service::Server& server) const {
  const auto counted = counted_.find(server.id.value);
  return (counted == counted_.end() ? 0 : counted->second) < places_;
}

void ProxyWorld::begin_request(const service::Listener& /*target*/, const service::Server& server) {
  ++counted_[server.id.value];
}

void ProxyWorld::end_request(service::ListenerId /*target*/, service::BackendId server) {
  --counted_[server.value];
}

// --- buffers
// -----------------------------------------------------------------------------------------------------------

ProxyWorld::Buffer* ProxyWorld::make_buffer(std::string_view octets, std::size_t room) {
  ++live_buffers;
  auto* buffer = new Buffer;
  buffer->octets.assign(octets.begin(), octets.end());
  buffer->octets.resize(std::max(octets.size(), room));
  return buffer;
}

void ProxyWorld::retain(tcp::Buffer* buffer) {
  ++reinterpret_cast<Buffer*>(buffer)->references;
}

void ProxyWorld::release(tcp::Buffer* buffer) {
  auto* ours = reinterpret_cast<Buffer*>(buffer);
  if (--ours->references == 0) {
    delete ours;
    --live_buffers;
  }
}

}  // namespace steelyard::http

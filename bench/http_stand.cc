#include "bench/http_stand.h"

#include <algorithm>
#include <stdexcept>

namespace steelyard::bench {
namespace {

// Buffers have no place for a pointer of their own: there is one stand at a time.
HttpStand* current = nullptr;
constexpr std::size_t opened_at_once = 1'024;

}  // namespace

HttpStand::HttpStand(std::size_t clients, const service::HttpSettings& settings, std::string_view request,
                     std::string_view answer)
    : pool_(buffers),
      memory_(16'384, {&HttpStand::retain, &HttpStand::release}),
      clients_(clients),
      request_(request),
      answer_(answer),
      listener_(std::make_shared<service::Listener>()) {
  current = this;
  for (std::uint32_t index = buffers; index-- > 0;) {
    pool_[index].next = free_;
    free_ = index;
  }
  listener_->id = service::ListenerId{1};
  listener_->key = {*service::Address::parse("192.0.2.1"), 80, service::Protocol::tcp};
  listener_->state = std::make_shared<service::ListenerState>(servers);
  listener_->http = std::make_shared<service::HttpSettings>(settings);
  std::vector<std::uint64_t> tags;
  for (std::uint32_t place = 0; place < servers; ++place) {
    service::Server server;
    server.address = *service::Address::parse("10.0.0." + std::to_string(place + 1));
    server.port = 80;
    server.id = service::BackendId{place + 1};
    listener_->servers.push_back(server);
    tags.push_back(http::SessionCookies(http::CookieKey{}).tag_of(server).value);
  }
  listener_->tags = std::make_shared<service::ServerTags>(tags);
  snapshot_.listeners = {nullptr, listener_};
  const auto client = listener_->key.address.v6();
  std::copy(client.begin(), client.end(), reinterpret_cast<std::uint8_t*>(&endpoints_.remote));
  proxy_ = std::make_unique<http::Proxy>(
      http::ProxySetup{.connections = clients + 4'096, .exchanges = 4'096, .compressors = 64, .cookie_key = {}},
      static_cast<http::Ground&>(*this), now_);
  proxy_->set_snapshot(&snapshot_);
  asked_.reserve(opened_at_once);
  opening_.reserve(opened_at_once);
  std::vector<std::uint32_t> numbers;
  for (std::size_t at = 0; at < clients; at += opened_at_once) {
    numbers.clear();
    for (std::size_t n = at; n < std::min(clients, at + opened_at_once); ++n) {
      numbers.push_back(static_cast<std::uint32_t>(n));
      proxy_->accepted({numbers.back(), 1}, listener_->id);
    }
    turn();
    ask(numbers);
    this->answer();
  }
  if (proxy_->counters().exchanges.get() != 0 || used_ != 0) {
    throw std::runtime_error("a request is not finished");
  }
}

HttpStand::~HttpStand() {
  proxy_->detach();
  current = nullptr;
}

tcp::Slice HttpStand::said(std::string_view octets) {
  const auto room = allocate();
  std::copy(octets.begin(), octets.end(), room->octets.begin());
  return {room->slice.buffer, 0, static_cast<std::uint32_t>(octets.size())};
}

void HttpStand::turn() {
  while (proxy_->turn(now_, wall_us_) != 0 || !opening_.empty()) {
    for (const tcp::ConnectionId id : opening_) {
      proxy_->notify(id, tcp::Event::established);
    }
    opening_.clear();
  }
}

void HttpStand::ask(std::span<const std::uint32_t> clients) {
  for (const std::uint32_t client : clients) {
    proxy_->deliver({client, 1}, said(request_));
  }
  turn();
}

void HttpStand::answer() {
  for (const tcp::ConnectionId id : asked_) {
    proxy_->deliver(id, said(answer_));
  }
  asked_.clear();
  turn();
}

std::size_t HttpStand::send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time /*now*/) {
  const bool to_server = connection.index >= clients_;
  for (const tcp::Slice& slice : slices) {
    (to_server ? to_servers_ : to_clients_) += slice.length;
    release(slice.buffer);
  }
  if (to_server) {
    asked_.push_back(connection);  // a request is one piece
  }
  return slices.size();
}

tcp::ConnectionId HttpStand::connect(const service::Server& /*server*/, tcp::Time /*now*/) {
  const tcp::ConnectionId id{static_cast<std::uint32_t>(clients_) + opened_++, 1};
  opening_.push_back(id);
  return id;
}

const tcp::Endpoints* HttpStand::endpoints_of(tcp::ConnectionId /*connection*/) const {
  return &endpoints_;
}

std::optional<http::Ground::Room> HttpStand::allocate() {
  Buffer& buffer = pool_[free_];
  free_ = buffer.next;
  buffer.references = 1;
  ++used_;
  return Room{{reinterpret_cast<tcp::Buffer*>(&buffer), 0, 0}, buffer.octets};
}

const std::uint8_t* HttpStand::data_of(const tcp::Slice& slice) const {
  return reinterpret_cast<const Buffer*>(slice.buffer)->octets.data() + slice.offset;
}

void HttpStand::retain(tcp::Buffer* buffer) {
  ++reinterpret_cast<Buffer*>(buffer)->references;
}

void HttpStand::release(tcp::Buffer* buffer) {
  auto* ours = reinterpret_cast<Buffer*>(buffer);
  if (--ours->references == 0) {
    ours->next = current->free_;
    current->free_ = static_cast<std::uint32_t>(ours - current->pool_.data());
    --current->used_;
  }
}

}  // namespace steelyard::bench

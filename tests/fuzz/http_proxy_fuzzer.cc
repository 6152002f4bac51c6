// The proxy between clients and servers that say anything at any time, in any pieces, and end as they like, while
// servers fail and the configuration changes. The world's own expectations are the invariants: nothing is sent behind a
// FIN or on a connection that is over, nothing is consumed that was not delivered, and in the end no buffer, no
// exchange, no connection and no counted request is left.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/input.h"
#include "tests/unit/http/proxy_world.h"

namespace {

using namespace steelyard;
using http::ProxyWorld;

// What is likely to bring the proxy further than random octets do.
constexpr std::array<std::string_view, 18> requests{
    "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nCookie: SERVERID=",
    "GET /"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\nX: y\r\n\r\n",
    "\r\n",
    " HTTP/1.1\r\nHost: a\r\n\r\n",
    "PROXY TCP4 203.0.113.5 192.0.2.80 51000 8443\r\n",
    std::string_view("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16)};
constexpr std::array<std::string_view, 16> answers{
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nSet-Cookie: SERVERID=abc\r\nCache-Control: public, max-age=1\r\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "\r\n",
    "HTTP/1.1 5"};

class Play {
 public:
  Play(fuzz::Bytes& input, ProxyWorld::Options options) : input_(input), world_(std::move(options)) {}

  void run() {
    world_.accept_at_once = (input_.byte() & 1) != 0;
    tell_servers(input_.byte());
    for (int steps = 0; steps < 200 && !input_.empty(); ++steps) {
      step();
    }
  }

 private:
  void tell_servers(std::uint8_t how) {
    constexpr std::array ways{service::ClientAddress::none, service::ClientAddress::proxy_v1,
                              service::ClientAddress::proxy_v2};
    world_.listener().client_address = ways[how % ways.size()];
    world_.publish();
  }

  void step() {
    const std::uint8_t what = input_.byte();
    const std::size_t opened = world_.opened().size();
    switch (what % 16) {
      case 0:
        if (clients_.size() < 40) {
          clients_.push_back(world_.client());
        }
        break;
      case 1:
      case 2:
      case 3:
      case 4:
        if (!clients_.empty()) {
          say(clients_[input_.byte() % clients_.size()], requests);
        }
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        if (opened != 0) {
          say(world_.opened()[opened - 1 - input_.byte() % opened % 4], answers);
        }
        break;
      case 9:
        end(what);
        break;
      case 10:
        if (opened != 0) {
          const std::size_t server = world_.opened()[opened - 1 - input_.byte() % opened % 4];
          if (!world_.peer(server).gone) {
            (what & 16) != 0 ? world_.accepts(server) : world_.refuses(server);
          }
        }
        break;
      case 11:
        world_.advance(std::chrono::milliseconds{50 * (1 + input_.byte() * input_.byte() % 1'500)});
        break;
      case 12:
        if (const std::size_t peer = any_peer(); peer != none && !world_.peer(peer).gone) {
          world_.set_room(peer, input_.byte() * 16U);
        }
        break;
      case 13:
        world_.set_up(input_.byte() % 2U, (what & 16) != 0);
        break;
      case 14:
        world_.listener().running = (what & 16) != 0;
        tell_servers(what / 64U);
        world_.listener().servers[input_.byte() % 2U].weight = static_cast<std::uint8_t>(what & 32U);
        world_.publish();
        break;
      default:
        world_.without_rooms((what & 48) == 48);
        world_.set_places((what & 64) != 0 ? 1 : 1'000);
        world_.set_slack((what & 128) == 0, (what & 32) != 0 ? 0 : 8);
        break;
    }
  }

  template <std::size_t size>
  void say(std::size_t peer, const std::array<std::string_view, size>& words) {
    const std::uint8_t which = input_.byte();
    if (world_.peer(peer).gone) {
      return;
    }
    if (which < 128) {
      world_.says(peer, words[which % size]);
    } else {
      std::string octets;
      for (int count = which % 64; count > 0 && !input_.empty(); --count) {
        octets.push_back(static_cast<char>(input_.byte()));
      }
      world_.says(peer, octets);
    }
  }

  void end(std::uint8_t how) {
    const std::size_t peer = any_peer();
    if (peer == none || world_.peer(peer).gone) {
      return;
    }
    (how & 16) != 0 ? world_.finishes(peer) : world_.resets(peer);
  }

  [[nodiscard]] std::size_t any_peer() {
    const std::uint8_t which = input_.byte();
    const std::size_t opened = world_.opened().size();
    if ((which & 1) != 0) {
      return opened == 0 ? none : world_.opened()[which / 2U % opened];
    }
    return clients_.empty() ? none : clients_[which / 2U % clients_.size()];
  }

  static constexpr std::size_t none = ~std::size_t{0};
  fuzz::Bytes& input_;
  ProxyWorld world_;
  std::vector<std::size_t> clients_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  GTEST_FLAG_SET(throw_on_failure, true);
  fuzz::Bytes input(data, size);
  ProxyWorld::Options options;
  options.servers = 2;
  options.exchanges = 8;
  const std::uint8_t settings = input.byte();
  options.piece = (settings & 1) != 0 ? 1 : 700;
  options.http.most_body_octets = (settings & 2) != 0 ? 9 : 0;
  options.http.most_requests = (settings & 4) != 0 ? 2 : 0;
  options.http.cookie.kind = static_cast<service::SessionCookie::Kind>(settings / 8U % 3U);
  if ((settings & 128) != 0) {
    options.http.gzip = service::Gzip{.least_octets = 1, .types = {"a/b"}};
  }
  options.http.cookie.timeout = std::chrono::seconds{5};
  if ((input.byte() & 1) != 0) {  // every client is a trusted proxy
    options.http.proxies =
        std::make_shared<service::AccessControl>(service::AccessType::black, std::span<const service::Prefix>{});
  }
  Play(input, std::move(options)).run();
  return 0;
}

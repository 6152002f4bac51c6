// The proxy in corners: full buffers, ends that come early, configurations that change in between, floods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view upgrade =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
constexpr std::string_view switching =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

// --- what a full send buffer has refused ---------------------------------------------------------------------------

TEST(ProxyCorners, AnAnswersHeadGoesOutWhenThereIsRoomEvenIfNoBodyComes) {
  ProxyWorld world;
  const auto client = world.client();
  world.set_room(client, 0);
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
  world.set_room(client, 1'000'000);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST(ProxyCorners, ABodysPieceGoesOutWhenThereIsRoomEvenIfNoMoreComes) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_THAT(world.heard(client), Not(IsEmpty()));
  world.set_room(client, 1'000);
  world.says(world.last_opened(), "1770\r\n" + std::string(6'000, 'x') + "\r\n");
  std::string heard = world.heard(client);
  world.set_room(client, 1'000'000);
  heard += world.heard(client);
  EXPECT_EQ(heard.size(), 6'008U);
  world.advance(seconds{59});
  world.says(world.last_opened(), "1\r\ny\r\n0\r\n\r\n");
  EXPECT_FALSE(world.peer(client).reset);
}

TEST(ProxyCorners, ATunnelTowardsTheClientGoesOnWhenThereIsRoom) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, upgrade);
  world.says(world.last_opened(), switching);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 101 "));
  world.set_room(client, 1'000);
  world.says(world.last_opened(), std::string(6'000, 'x'));
  std::string heard = world.heard(client);
  world.set_room(client, 1'000'000);
  heard += world.heard(client);
  EXPECT_EQ(heard.size(), 6'000U);
}

TEST(ProxyCorners, ATunnelTowardsTheServerGoesOnWhenThereIsRoom) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, upgrade);
  const auto server = world.last_opened();
  world.says(server, switching);
  std::string heard = world.heard(server);
  world.set_room(server, 1'000);
  world.says(client, std::string(6'000, 'x'));
  heard = world.heard(server);
  world.set_room(server, 1'000'000);
  heard += world.heard(server);
  EXPECT_EQ(heard.size(), 6'000U);
}

TEST(ProxyCorners, A100GoesOutWhenThereIsRoom) {
  ProxyWorld world;
  const auto client = world.client();
  const std::string_view dated = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nhi";
  world.set_room(client, dated.size());  // full with the first answer, nothing is left over
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), dated);
  EXPECT_EQ(world.heard(client), dated);
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  world.says(world.last_opened(), "HTTP/1.1 100 Continue\r\n\r\n");
  world.set_room(client, 1'000'000);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 100 "));
}

// --- the end of connections ----------------------------------------------------------------------------------------

TEST(ProxyCorners, ASlowReaderOfALastAnswerGetsAllOfIt) {
  ProxyWorld world;
  const auto client = world.client();
  world.set_room(client, 1'448);
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string body(8 * 1'448, 'x');
  world.says(world.last_opened(),
             "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  std::string heard = world.heard(client);
  for (int second = 0; second < 12 && !world.peer(client).gone; ++second) {  // slow is no stall
    world.advance(seconds{1});
    world.set_room(client, 1'448);
    heard += world.heard(client);
  }
  EXPECT_FALSE(world.peer(client).reset);
  EXPECT_THAT(heard, EndsWith(body));
}

// TCP may still have 256 KB to send to a slow client when our FIN is queued: to abort is to throw them away.
TEST(ProxyCorners, WhatTcpHasNotSentYetIsNotThrownAwayAfterFiveSeconds) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_TRUE(world.peer(client).finished);
  world.advance(seconds{6});  // the client has not acknowledged all, and so has not closed
  EXPECT_FALSE(world.peer(client).reset);
}

// --- connecting ----------------------------------------------------------------------------------------------------

TEST(ProxyCorners, ARequestThatHasQueuedForLongHasItsTimeToConnect) {
  service::HttpSettings http;
  http.queue_timeout = seconds{20};
  ProxyWorld world({.http = http});
  world.accept_at_once = false;
  world.set_places(0);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.advance(seconds{6});
  world.set_places(1);
  world.advance(milliseconds{100});
  EXPECT_THAT(world.heard(client), IsEmpty());
  ASSERT_EQ(world.opened().size(), 1U);
  ASSERT_FALSE(world.peer(world.last_opened()).gone);
  world.accepts(world.last_opened());
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ProxyCorners, AServerThatEndsAsSoonAsItAcceptsIsNotWaitedFor) {
  ProxyWorld world({.servers = 2});
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  const auto first = world.last_opened();
  world.finishes(first);  // handshake and FIN before the proxy's turn
  world.accepts(first);
  world.advance(seconds{1});
  EXPECT_TRUE(world.opened().size() == 2 || !world.heard(client).empty());
}

TEST(ProxyCorners, APlaceInAnotherConfigurationIsAnotherServer) {
  ProxyWorld world({.servers = 2});
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  const auto first = world.last_opened();
  ASSERT_EQ(world.peer(first).server, world.listener().servers[0].address);
  world.listener().servers.erase(world.listener().servers.begin());
  world.publish();
  world.refuses(first);
  EXPECT_THAT(world.heard(client), IsEmpty());
  EXPECT_EQ(world.opened().size(), 2U);  // the server that is left has not been tried
}

// --- the queue -----------------------------------------------------------------------------------------------------

std::string cookie_of(const std::string& answer) {
  const std::size_t at = answer.find("Set-Cookie: ");
  return at == std::string::npos ? "" : answer.substr(at + 12, answer.find(';', at) - at - 12);
}

service::HttpSettings inserting() {
  service::HttpSettings http;
  http.cookie = {.kind = service::SessionCookie::Kind::insert, .timeout = seconds{1'000}};
  return http;
}

TEST(ProxyCorners, SessionsThatWaitForTheirServerHoldNobodyElseBack) {
  ProxyWorld world({.http = inserting(), .servers = 2});
  const auto first = world.client();
  world.says(first, ProxyWorld::get);
  const auto first_server = world.last_opened();
  world.says(first_server, ProxyWorld::ok);
  const std::string sticky = "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie_of(world.heard(first)) + "\r\n\r\n";
  static_cast<void>(world.heard(first_server));
  world.set_places(1);
  world.says(first, sticky);  // takes the session's server
  const auto other = world.client();
  world.says(other, ProxyWorld::get);  // takes the other one
  ASSERT_EQ(world.opened().size(), 2U);
  const auto other_server = world.last_opened();
  for (int number = 0; number < 8; ++number) {
    world.says(world.client(), sticky);
  }
  const auto victim = world.client();
  world.says(victim, "GET /victim HTTP/1.1\r\nHost: a\r\n\r\n");
  static_cast<void>(world.heard(other_server));
  world.says(other_server, ProxyWorld::ok);
  world.advance(seconds{1});
  EXPECT_THAT(world.heard(other_server), StartsWith("GET /victim "));
}

TEST(ProxyCorners, WhoHasQueuedComesBeforeWhoComesNow) {
  ProxyWorld world;
  world.set_places(1);
  const auto greedy = world.client();
  world.says(greedy, std::string(ProxyWorld::get) + std::string(ProxyWorld::get) + std::string(ProxyWorld::get));
  const auto patient = world.client();
  world.says(patient, "GET /patient HTTP/1.1\r\nHost: a\r\n\r\n");
  static_cast<void>(world.heard(world.last_opened()));
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(world.last_opened()), StartsWith("GET /patient "));
}

TEST(ProxyCorners, ASessionWhoseServerGoesDownWhileItQueuesMovesOn) {
  ProxyWorld world({.http = inserting(), .servers = 2});
  const auto first = world.client();
  world.says(first, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  const std::string sticky = "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie_of(world.heard(first)) + "\r\n\r\n";
  world.set_places(1);
  world.says(first, sticky);
  const auto second = world.client();
  world.says(second, sticky);
  EXPECT_EQ(world.proxy().counters().queued.get(), 1U);
  world.set_up(0, false);
  world.advance(seconds{1});
  ASSERT_EQ(world.opened().size(), 2U);
  EXPECT_EQ(world.peer(world.last_opened()).server, world.listener().servers[1].address);
}

// --- what is passed on ---------------------------------------------------------------------------------------------

TEST(ProxyCorners, AFieldOfOursIsNotForgedByAnUnderscore) {
  service::HttpSettings http;
  http.forwarded_for = service::ForwardedFor::replace;
  http.forwarded_proto = true;
  ProxyWorld world({.http = http});
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 127.0.0.1\r\nX-Forwarded_Proto: https\r\n\r\n");
  const std::string request = world.opened().empty() ? "" : world.heard(world.last_opened());
  EXPECT_THAT(request, Not(HasSubstr("127.0.0.1")));
  EXPECT_THAT(request, Not(HasSubstr("https")));
}

TEST(ProxyCorners, AnInterimAnswerThatIsAmbiguousEndsBothConnections) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  const auto server = world.last_opened();
  world.says(server, "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + std::string(ProxyWorld::ok));
  EXPECT_TRUE(world.peer(server).gone);
  EXPECT_TRUE(world.peer(client).finished);
}

TEST(ProxyCorners, WhatFollowsAnUpgradeThatWasNotGrantedIsNoRequestEvenIfItComesLate) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, upgrade);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
  world.says(client, ProxyWorld::get);  // said before it can know
  world.says(world.last_opened(), "i");
  EXPECT_EQ(world.proxy().counters().requests.get(), 1U);
}

TEST(ProxyCorners, ACookieOfAnEarlierConfigurationIsNotSet) {
  ProxyWorld world({.http = inserting()});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.listener().http = std::make_shared<service::HttpSettings>();
  world.publish();
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), Not(HasSubstr("Set-Cookie: ")));
}

// --- floods --------------------------------------------------------------------------------------------------------

TEST(ProxyCorners, ConnectionsWithoutRoomDoNotKeepOthersFromBeingServed) {
  ProxyWorld world({.connections = 600});
  // Links run out: 600 and as many spare ones, of connections that have ended and whose end has not been seen.
  const auto served = world.client();
  world.says(served, ProxyWorld::get);
  const auto server = world.last_opened();
  for (int turn = 0; turn < 60; ++turn) {
    world.flood(500);
    world.one_turn();
  }
  EXPECT_LT(world.proxy().counters().clients.get(), 1'199U) << "of so many links none is ever free again";
  world.turn();
  EXPECT_EQ(world.proxy().counters().clients.get(), 1U);
  world.says(server, ProxyWorld::ok);
  EXPECT_EQ(world.heard(served), ProxyWorld::ok);
}

TEST(ProxyCorners, ATurnEndsOnlySoManyConnectionsWhoseTimeIsOver) {
  ProxyWorld world({.connections = 2'000});
  for (int number = 0; number < 1'500; ++number) {
    static_cast<void>(world.client());
  }
  EXPECT_LE(world.turn_after(seconds{16}), 600U);
}

}  // namespace
}  // namespace steelyard::http

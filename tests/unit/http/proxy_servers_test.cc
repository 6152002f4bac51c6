// Servers that fail: what is tried again and where, what is not, and what a client is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/own_answer.h"
#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr std::string_view post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

TEST(ProxyServers, A502FollowsWhenNoServerAccepts) {
  ProxyWorld world({.servers = 5});
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.refuses(world.last_opened());
  world.refuses(world.last_opened());
  EXPECT_THAT(world.heard(client), IsEmpty());
  world.refuses(world.last_opened());
  EXPECT_THAT(world.heard(client), says(502, "CF"));
  EXPECT_EQ(world.opened().size(), 3U);
  EXPECT_NE(world.peer(world.opened()[0]).server, world.peer(world.opened()[1]).server);
  EXPECT_NE(world.peer(world.opened()[0]).server, world.peer(world.opened()[2]).server);
  EXPECT_EQ(world.log().at(0).retries, 2);
}

TEST(ProxyServers, AnotherServerIsTriedWhenOneDoesNotAnswer) {
  ProxyWorld world({.servers = 2});
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, post);  // nothing was sent, so any request may go elsewhere
  world.advance(milliseconds{2'600});
  ASSERT_EQ(world.opened().size(), 2U);
  EXPECT_TRUE(world.peer(world.opened()[0]).gone);
  world.accepts(world.opened()[1]);
  EXPECT_THAT(world.heard(world.opened()[1]), StartsWith("POST / "));
  world.says(world.opened()[1], ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ProxyServers, A502FollowsWhenConnectingTakesTooLong) {
  ProxyWorld world({.servers = 2});
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.advance(milliseconds{5'100});
  EXPECT_THAT(world.heard(client), says(502, "CT"));
}

TEST(ProxyServers, A502FollowsAMalformedAnswer) {
  for (const std::string_view answer :
       {"nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n"}) {
    ProxyWorld world;
    const auto client = world.client();
    world.says(client, ProxyWorld::get);
    world.says(world.last_opened(), answer);
    EXPECT_THAT(world.heard(client), says(502, "BA")) << answer;
    EXPECT_TRUE(world.peer(world.last_opened()).gone);
    EXPECT_FALSE(world.peer(client).finished) << "the client has done nothing wrong";
  }
}

TEST(ProxyServers, A502FollowsAFloodOfInterimAnswers) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  for (int number = 0; number < 40 && !world.peer(world.last_opened()).gone; ++number) {
    world.says(world.last_opened(), "HTTP/1.1 102 Processing\r\n\r\n");
  }
  EXPECT_THAT(world.heard(client), HasSubstr("HTTP/1.1 502 "));
}

TEST(ProxyServers, A502FollowsWhenTheServerClosesBeforeItsAnswer) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, post);
  world.finishes(world.last_opened());
  EXPECT_THAT(world.heard(client), says(502, "SC"));
  world.says(client, post);
  world.resets(world.last_opened());
  EXPECT_THAT(world.heard(client), says(502, "SC"));
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nConte");
  world.finishes(world.last_opened());
  EXPECT_THAT(world.heard(client), says(502, "SC"));
}

TEST(ProxyServers, AStaleConnectionIsNoFaultThatAClientSees) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  world.says(client, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(world.opened().size(), 1U);
  world.resets(world.last_opened());  // it had closed while the request was on its way
  ASSERT_EQ(world.opened().size(), 2U);
  EXPECT_THAT(world.heard(world.last_opened()), StartsWith("GET /again "));
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  EXPECT_EQ(world.log().at(1).retries, 1);
}

TEST(ProxyServers, AServerThatDiesWithARequestIsReplacedByAnother) {
  ProxyWorld world({.servers = 3});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  const auto first = world.last_opened();
  world.resets(first);
  ASSERT_EQ(world.opened().size(), 2U);
  EXPECT_NE(world.peer(world.last_opened()).server, world.peer(first).server);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ProxyServers, ARequestThatKillsServersIsNotCarriedToAllOfThem) {
  ProxyWorld world({.servers = 9});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  for (int deaths = 0; deaths < 9 && !world.peer(world.last_opened()).gone; ++deaths) {
    world.resets(world.last_opened());
  }
  EXPECT_EQ(world.opened().size(), 3U);
  EXPECT_THAT(world.heard(client), says(502, "SC"));
}

TEST(ProxyServers, WhatIsNotIdempotentIsNeverSentTwice) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  world.says(client, post);
  world.resets(world.last_opened());
  EXPECT_THAT(world.heard(client), says(502, "SC"));
  EXPECT_EQ(world.opened().size(), 1U);
}

TEST(ProxyServers, NothingIsSentAgainOnceABodyIsOnItsWay) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  world.says(client, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
  world.resets(world.last_opened());
  EXPECT_THAT(world.heard(client), says(502, "SC"));
  EXPECT_EQ(world.opened().size(), 1U);
}

TEST(ProxyServers, AnIdleConnectionThatItsServerClosesIsNotUsed) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  world.finishes(world.last_opened());
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
  EXPECT_EQ(world.proxy().counters().idle.get(), 0U);
}

TEST(ProxyServers, AnAnswerThatNobodyAskedForIsNeverDelivered) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  const auto first = world.last_opened();
  world.says(first, std::string(ProxyWorld::ok) + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  EXPECT_TRUE(world.peer(first).gone);
  world.says(client, ProxyWorld::get);
  ASSERT_EQ(world.opened().size(), 2U);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  const auto second = world.last_opened();
  world.says(second, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");  // while it is idle
  EXPECT_TRUE(world.peer(second).gone);
  EXPECT_THAT(world.heard(client), IsEmpty());
}

TEST(ProxyServers, AnIdleConnectionGoesAfterAMinuteOrWithItsServer) {
  ProxyWorld world;
  auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  world.advance(seconds{58});
  EXPECT_FALSE(world.peer(world.last_opened()).gone);
  world.advance(seconds{4});
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
  client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_FALSE(world.peer(world.last_opened()).gone);
  world.set_up(0, false);
  world.advance(milliseconds{1'100});
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
}

TEST(ProxyServers, A504FollowsASilentServer) {
  service::HttpSettings http;
  http.request_timeout = seconds{7};
  ProxyWorld world({.http = http});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.advance(milliseconds{6'900});
  EXPECT_THAT(world.heard(client), IsEmpty());
  world.advance(milliseconds{200});
  EXPECT_THAT(world.heard(client), says(504, "AT"));
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
  EXPECT_FALSE(world.peer(client).finished);
}

TEST(ProxyServers, AnAnswerThatIsCutShortIsToldByAReset) {
  for (const std::string_view framing :
       {"Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"}) {
    ProxyWorld world;
    const auto client = world.client();
    world.says(client, ProxyWorld::get);
    world.says(world.last_opened(), "HTTP/1.1 200 OK\r\n" + std::string(framing));
    world.finishes(world.last_opened());
    EXPECT_THAT(world.heard(client), EndsWith(framing.substr(framing.find("\r\n\r\n"))));
    EXPECT_TRUE(world.peer(client).reset);
    EXPECT_EQ(world.log().at(0).cause, Cause::answer_cut_short);
  }
}

TEST(ProxyServers, AResetEndsAnAnswerThatOnlyItsConnectionEnds) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\n\r\nhalf");
  world.resets(world.last_opened());
  EXPECT_TRUE(world.peer(client).reset);
}

TEST(ProxyServers, AMalformedChunkOfAnAnswerIsNotPassedOn) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-1\r\n");
  EXPECT_THAT(world.heard(client), Not(HasSubstr("-1")));
  EXPECT_TRUE(world.peer(client).reset);
}

TEST(ProxyServers, AnAnswerThatStallsEnds) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
  for (int time = 0; time < 5; ++time) {  // slow is no stall
    world.advance(seconds{50});
    world.says(world.last_opened(), "a");
  }
  EXPECT_FALSE(world.peer(client).gone);
  world.advance(seconds{61});
  EXPECT_TRUE(world.peer(client).reset);
  EXPECT_EQ(world.log().at(0).cause, Cause::answer_stalled);
}

}  // namespace
}  // namespace steelyard::http

// What goes wrong: clients, servers and configurations that fail, each status code and each timeout of our own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

auto says(int status, std::string_view cause) {
  return AllOf(StartsWith("HTTP/1.1 " + std::to_string(status) + " "), HasSubstr("Steelyard: " + std::string(cause)));
}

TEST(ProxyFailures, A400EndsTheConnectionAndNothingReachesAServer) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" +
                         std::string(ProxyWorld::get));
  EXPECT_THAT(world.heard(client), says(400, "BR"));
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_THAT(world.opened(), IsEmpty());
  ASSERT_EQ(world.log().size(), 1U);
  EXPECT_EQ(world.log()[0].cause, Cause::bad_request);
}

TEST(ProxyFailures, GarbageIsRefusedAtOnce) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, std::string("\x16\x03\x01\x00\xa5", 5));  // a TLS handshake on a plain port
  EXPECT_THAT(world.heard(client), says(400, "BR"));
}

TEST(ProxyFailures, A405NamesWhatIsAllowed) {
  for (const std::string_view method :
       {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"}) {
    ProxyWorld world;
    const auto client = world.client();
    world.says(client, method);
    const std::string answer = world.heard(client);
    EXPECT_THAT(answer, says(405, "BM"));
    EXPECT_THAT(answer, HasSubstr("Allow: GET"));
    EXPECT_THAT(world.opened(), IsEmpty());
  }
}

TEST(ProxyFailures, A408FollowsAHeadThatDoesNotEnd) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\n");
  for (int second = 0; second < 9; ++second) {  // drop by drop does not help
    world.advance(seconds{1});
    world.says(client, "a: b\r\n");
    EXPECT_THAT(world.heard(client), IsEmpty());
  }
  world.advance(milliseconds{1'100});
  EXPECT_THAT(world.heard(client), says(408, "HT"));
  EXPECT_TRUE(world.peer(client).finished);
}

TEST(ProxyFailures, A408FollowsABodyThatDoesNotCome) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
  world.advance(seconds{59});
  EXPECT_THAT(world.heard(client), IsEmpty());
  world.advance(seconds{2});
  EXPECT_THAT(world.heard(client), says(408, "BT"));
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
}

TEST(ProxyFailures, AnIdleClientIsClosedWithoutAWord) {
  ProxyWorld world;
  const auto fresh = world.client();
  const auto used = world.client();
  world.says(used, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(used), ProxyWorld::ok);
  world.advance(milliseconds{14'900});
  EXPECT_FALSE(world.peer(fresh).finished);
  EXPECT_FALSE(world.peer(used).finished);
  world.advance(milliseconds{200});
  EXPECT_TRUE(world.peer(fresh).finished);
  EXPECT_TRUE(world.peer(used).finished);
  EXPECT_THAT(world.heard(used), IsEmpty());
  EXPECT_THAT(world.log(), testing::SizeIs(1));
}

TEST(ProxyFailures, A413FollowsABodyBeyondTheLimit) {
  service::HttpSettings http;
  http.most_body_octets = 8;
  for (const std::string_view framing :
       {"Content-Length: 9\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n"}) {
    ProxyWorld world({.http = http});
    const auto client = world.client();
    world.says(client, "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(framing));
    EXPECT_THAT(world.heard(client), says(413, "BL"));
    EXPECT_TRUE(world.peer(client).finished);
  }
}

TEST(ProxyFailures, A414And431TellTheTargetFromTheRest) {
  ProxyWorld world;
  auto client = world.client();
  world.says(client, "GET /" + std::string(9'000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(world.heard(client), says(414, "UL"));
  client = world.client();
  world.says(client, "GET /" + std::string(40'000, 'a'));
  EXPECT_THAT(world.heard(client), says(414, "UL"));
  client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'a'));
  EXPECT_THAT(world.heard(client), says(431, "HL"));
  client = world.client();
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int field = 0; field < 128; ++field) {
    many += "x: y\r\n";
  }
  world.says(client, many + "\r\n");
  EXPECT_THAT(world.heard(client), says(431, "HL"));
}

TEST(ProxyFailures, A505FollowsAnotherVersion) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/2.0\r\nHost: a\r\n\r\n");
  EXPECT_THAT(world.heard(client), says(505, "BV"));
}

TEST(ProxyFailures, A502FollowsWhenNoServerAccepts) {
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

TEST(ProxyFailures, AnotherServerIsTriedWhenOneDoesNotAnswer) {
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

TEST(ProxyFailures, A502FollowsWhenConnectingTakesTooLong) {
  ProxyWorld world({.servers = 2});
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.advance(milliseconds{5'100});
  EXPECT_THAT(world.heard(client), says(502, "CT"));
}

TEST(ProxyFailures, A502FollowsAMalformedAnswer) {
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

TEST(ProxyFailures, A502FollowsAFloodOfInterimAnswers) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  for (int number = 0; number < 40 && !world.peer(world.last_opened()).gone; ++number) {
    world.says(world.last_opened(), "HTTP/1.1 102 Processing\r\n\r\n");
  }
  EXPECT_THAT(world.heard(client), HasSubstr("HTTP/1.1 502 "));
}

TEST(ProxyFailures, A502FollowsWhenTheServerClosesBeforeItsAnswer) {
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

TEST(ProxyFailures, AStaleConnectionIsNoFaultThatAClientSees) {
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

TEST(ProxyFailures, AServerThatDiesWithARequestIsReplacedByAnother) {
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

TEST(ProxyFailures, ARequestThatKillsServersIsNotCarriedToAllOfThem) {
  ProxyWorld world({.servers = 9});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  for (int deaths = 0; deaths < 9 && !world.peer(world.last_opened()).gone; ++deaths) {
    world.resets(world.last_opened());
  }
  EXPECT_EQ(world.opened().size(), 3U);
  EXPECT_THAT(world.heard(client), says(502, "SC"));
}

TEST(ProxyFailures, WhatIsNotIdempotentIsNeverSentTwice) {
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

TEST(ProxyFailures, NothingIsSentAgainOnceABodyIsOnItsWay) {
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

TEST(ProxyFailures, AnIdleConnectionThatItsServerClosesIsNotUsed) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  world.finishes(world.last_opened());
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
  EXPECT_EQ(world.proxy().counters().idle.get(), 0U);
}

TEST(ProxyFailures, AnAnswerThatNobodyAskedForIsNeverDelivered) {
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

TEST(ProxyFailures, AnIdleConnectionGoesAfterAMinuteOrWithItsServer) {
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

TEST(ProxyFailures, A503FollowsWithoutAServer) {
  ProxyWorld world;
  world.set_up(0, false);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), says(503, "NS"));
  EXPECT_FALSE(world.peer(client).finished);
}

TEST(ProxyFailures, RequestsWaitInTheirOrderForAServerWithRoom) {
  ProxyWorld world;
  world.set_places(1);
  std::vector<std::size_t> clients;
  for (int number = 0; number < 20; ++number) {
    clients.push_back(world.client());
    world.says(clients.back(), "GET /" + std::to_string(number) + " HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  EXPECT_EQ(world.proxy().counters().queued.get(), 19U);
  for (int number = 0; number < 20; ++number) {
    ASSERT_EQ(world.opened().size(), 1U);
    EXPECT_THAT(world.heard(world.last_opened()), StartsWith("GET /" + std::to_string(number) + " "));
    world.advance(milliseconds{10});
    world.says(world.last_opened(), ProxyWorld::ok);
    EXPECT_EQ(world.heard(clients[static_cast<std::size_t>(number)]), ProxyWorld::ok);
  }
  EXPECT_EQ(world.log().back().queue_us, 190'000U);
}

TEST(ProxyFailures, A503FollowsWhenNoServerHasRoomInTime) {
  ProxyWorld world;
  world.set_places(0);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.advance(milliseconds{4'900});
  EXPECT_THAT(world.heard(client), IsEmpty());
  world.advance(milliseconds{200});
  EXPECT_THAT(world.heard(client), says(503, "QT"));
  EXPECT_FALSE(world.peer(client).finished);
  EXPECT_EQ(world.proxy().counters().queued.get(), 0U);
}

TEST(ProxyFailures, APlaceThatComesFromElsewhereIsFound) {
  ProxyWorld world;
  world.set_places(0);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.set_places(1);
  world.advance(milliseconds{50});
  ASSERT_EQ(world.opened().size(), 1U);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ProxyFailures, A503FollowsWhenTheQueueIsFullOrOff) {
  service::HttpSettings http;
  http.queue_length = 2;
  ProxyWorld world({.http = http});
  world.set_places(0);
  for (int number = 0; number < 2; ++number) {
    const auto waiting = world.client();
    world.says(waiting, ProxyWorld::get);
    EXPECT_THAT(world.heard(waiting), IsEmpty());
  }
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), says(503, "QF"));
  http.queue_timeout = milliseconds{0};
  world.listener().http = std::make_shared<service::HttpSettings>(http);
  world.publish();
  const auto other = world.client();
  world.says(other, ProxyWorld::get);
  EXPECT_THAT(world.heard(other), says(503, "QF"));
}

TEST(ProxyFailures, AClientThatGoesLeavesTheQueue) {
  ProxyWorld world;
  world.set_places(1);
  const auto first = world.client();
  world.says(first, ProxyWorld::get);
  const auto second = world.client();
  world.says(second, "GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto third = world.client();
  world.says(third, "GET /third HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(world.heard(world.last_opened()), StartsWith("GET / "));
  world.resets(second);
  EXPECT_EQ(world.proxy().counters().queued.get(), 1U);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(world.last_opened()), StartsWith("GET /third "));
}

TEST(ProxyFailures, A503FollowsWithoutRoom) {
  ProxyWorld world({.exchanges = 1});
  const auto busy = world.client();
  world.says(busy, ProxyWorld::get);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), says(503, "NR"));
}

TEST(ProxyFailures, WithoutABufferTheConnectionIsReset) {
  ProxyWorld world;
  const auto client = world.client();
  world.without_rooms(true);
  world.says(client, ProxyWorld::get);
  EXPECT_TRUE(world.peer(client).reset);
}

TEST(ProxyFailures, A504FollowsASilentServer) {
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

TEST(ProxyFailures, AnAnswerThatIsCutShortIsToldByAReset) {
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

TEST(ProxyFailures, AResetEndsAnAnswerThatOnlyItsConnectionEnds) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\n\r\nhalf");
  world.resets(world.last_opened());
  EXPECT_TRUE(world.peer(client).reset);
}

TEST(ProxyFailures, AMalformedChunkOfAnAnswerIsNotPassedOn) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-1\r\n");
  EXPECT_THAT(world.heard(client), Not(HasSubstr("-1")));
  EXPECT_TRUE(world.peer(client).reset);
}

TEST(ProxyFailures, AMalformedChunkOfARequestEndsBothConnections) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0_2\r\nab\r\n");
  EXPECT_THAT(world.heard(client), says(400, "BR"));
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
  EXPECT_THAT(world.heard(world.last_opened()), Not(HasSubstr("0_2")));
}

TEST(ProxyFailures, AnAnswerThatStallsEnds) {
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

TEST(ProxyFailures, AClientThatDoesNotReadIsGivenUp) {
  ProxyWorld world;
  const auto client = world.client();
  world.set_room(client, 10);
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + std::string(50'000, 'x'));
  world.advance(seconds{61});
  EXPECT_TRUE(world.peer(client).reset);
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
  EXPECT_EQ(world.log().at(0).cause, Cause::client_stalled);
}

TEST(ProxyFailures, AClientThatGoesTakesItsRequestAlong) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.resets(client);
  EXPECT_TRUE(world.peer(world.last_opened()).reset);
  EXPECT_EQ(world.log().at(0).cause, Cause::client_gone);
  EXPECT_EQ(world.requests_at(0), 0);
}

TEST(ProxyFailures, AStoppedListenerFinishesAndTakesNoMore) {
  ProxyWorld world;
  const auto busy = world.client();
  const auto idle = world.client();
  world.says(busy, ProxyWorld::get);
  world.listener().running = false;
  world.publish();
  EXPECT_TRUE(world.peer(idle).finished);
  EXPECT_FALSE(world.peer(busy).finished);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(busy), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
  EXPECT_TRUE(world.peer(busy).finished);
}

TEST(ProxyFailures, ARedirectListenerKeepsHostPathAndQuery) {
  service::HttpSettings http;
  http.redirect = service::Redirect{.status = 301};
  ProxyWorld world({.http = http, .servers = 0});
  auto client = world.client();
  world.says(client, "GET /a/b?c=d HTTP/1.1\r\nHost: www.example:80\r\n\r\n");
  std::string answer = world.heard(client);
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 301 "), HasSubstr("\r\nLocation: https://www.example/a/b?c=d\r\n")));
  EXPECT_FALSE(world.peer(client).finished);
  http.redirect = service::Redirect{.status = 308, .port = 8443};
  world.listener().http = std::make_shared<service::HttpSettings>(http);
  world.publish();
  world.says(client, ProxyWorld::get);
  answer = world.heard(client);
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 308 "), HasSubstr("\r\nLocation: https://a.example:8443/\r\n")));
}

TEST(ProxyFailures, ARequestWhoseRuleIsTakenAwayGoesWhereSuchRequestsGoNow) {
  ProxyWorld world({.servers = 2});
  world.publish_with_rule("/api");
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, "GET /api?x HTTP/1.1\r\nHost: a.example\r\n\r\n");
  world.publish();
  world.refuses(world.last_opened());
  ASSERT_EQ(world.opened().size(), 2U) << world.heard(client);
  world.accepts(world.last_opened());
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(world.log().at(0).target, world.log().at(0).listener);
}

TEST(ProxyFailures, ARequestWhoseRuleIsTakenAwayIsAnsweredWhereSuchRequestsAreNow) {
  ProxyWorld world;
  world.publish_with_rule("/api");
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, "GET /api HTTP/1.1\r\nHost: a.example\r\n\r\n");
  service::HttpSettings http = *world.listener().http;
  http.fixed_answer.emplace();
  world.listener().http = std::make_shared<const service::HttpSettings>(http);
  world.publish();
  world.refuses(world.last_opened());
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 403 "));
  EXPECT_EQ(world.opened().size(), 1U);
}

TEST(ProxyFailures, ARequestThatWaitsForARuleThatIsTakenAwayGoesWhereSuchRequestsGoNow) {
  ProxyWorld world;
  world.publish_with_rule("/api");
  world.set_places(0);
  const auto client = world.client();
  world.says(client, "GET /api HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_TRUE(world.opened().empty());
  world.set_places(1);
  world.publish();
  world.advance(std::chrono::milliseconds{10});
  ASSERT_EQ(world.opened().size(), 1U) << world.heard(client);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace steelyard::http

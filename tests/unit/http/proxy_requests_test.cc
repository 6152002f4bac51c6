// Requests and answers that go well: what each side gets, and what becomes of the connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

TEST(ProxyRequests, ARequestGoesToAServerAndItsAnswerComesBack) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET /a?b=c HTTP/1.1\r\nHost: www.example\r\nAccept: */*\r\n\r\n");
  ASSERT_EQ(world.opened().size(), 1U);
  const auto server = world.last_opened();
  EXPECT_EQ(world.heard(server),
            "GET /a?b=c HTTP/1.1\r\nHost: www.example\r\nAccept: */*\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n");
  EXPECT_EQ(world.requests_at(0), 1);
  world.says(server, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(world.heard(client), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(world.requests_at(0), 0);
  EXPECT_FALSE(world.peer(client).finished);
  EXPECT_EQ(world.peer(client).consumed, world.peer(client).delivered);
  EXPECT_EQ(world.peer(server).consumed, world.peer(server).delivered);
}

// Each call is a segment, if not more.
TEST(ProxyRequests, AHeadIsSentTogetherWithWhatHasComeOfItsBody) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
  const auto server = world.last_opened();
  EXPECT_EQ(world.peer(server).sends, 1);
  EXPECT_THAT(world.heard(server), EndsWith("\r\n\r\nhello"));
  world.says(server, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwel");
  EXPECT_EQ(world.peer(client).sends, 1);
  EXPECT_THAT(world.heard(client), EndsWith("\r\n\r\nwel"));
  world.says(server, "come");
  EXPECT_EQ(world.heard(client), "come");
  EXPECT_FALSE(world.peer(client).finished);
}

TEST(ProxyRequests, AHeadWhoseBodyHasNotComeIsNotKeptBack) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server), EndsWith("\r\n\r\n"));
  world.says(client, "hello");
  world.says(server, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
  EXPECT_THAT(world.heard(client), EndsWith("\r\n\r\n"));
}

TEST(ProxyRequests, TheEndOfAConnectionIsSaidWithTheLastOfItsAnswer) {
  for (const std::string_view answer :
       {std::string_view{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
        std::string_view{"HTTP/1.1 204 No Content\r\n\r\n"},
        std::string_view{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"}}) {
    ProxyWorld world;
    const auto client = world.client();
    world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    world.says(world.last_opened(), answer);
    EXPECT_EQ(world.peer(client).sends, 1) << answer;
    EXPECT_TRUE(world.peer(client).fin_with_last) << answer;
    world.finishes(client);
    EXPECT_TRUE(world.peer(client).gone) << answer;
    EXPECT_FALSE(world.peer(client).reset) << answer;
  }
}

TEST(ProxyRequests, AClientWithoutRoomGetsTheRestAndThenTheEnd) {
  ProxyWorld world;
  const auto client = world.client();
  world.set_room(client, 1);
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_FALSE(world.peer(client).finished);
  world.set_room(client, 1'000);
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_THAT(world.heard(client), EndsWith("\r\n\r\nhi"));
}

TEST(ProxyRequests, TheConnectionToAServerIsUsedAgainAlsoForAnotherClient) {
  ProxyWorld world;
  for (int turn = 0; turn < 3; ++turn) {
    const auto client = world.client();
    for (int again = 0; again < 2; ++again) {
      world.says(client, ProxyWorld::get);
      world.says(world.last_opened(), ProxyWorld::ok);
      EXPECT_THAT(world.heard(client), EndsWith("\r\n\r\nhi"));
    }
  }
  EXPECT_EQ(world.opened().size(), 1U);
  EXPECT_EQ(world.proxy().counters().idle.get(), 1U);
}

TEST(ProxyRequests, PipelinedRequestsAreAnsweredInTheirOrder) {
  ProxyWorld world;
  const auto client = world.client();
  std::string all;
  for (int number = 0; number < 100; ++number) {
    all += "GET /" + std::to_string(number) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  world.says(client, all);
  std::string expected;
  for (int number = 0; number < 100; ++number) {
    const auto server = world.last_opened();
    EXPECT_THAT(world.heard(server), StartsWith("GET /" + std::to_string(number) + " HTTP/1.1\r\n"));
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + std::to_string(100 + number);
    world.says(server, answer);
    expected += answer;
  }
  EXPECT_EQ(world.heard(client), expected);
  EXPECT_EQ(world.opened().size(), 1U);
}

TEST(ProxyRequests, OneOctetSegmentsMakeNoDifference) {
  ProxyWorld world({.piece = 1});
  const auto client = world.client();
  world.says(client, "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server),
              AllOf(StartsWith("POST /p HTTP/1.1\r\nHost: a\r\n"), HasSubstr("Transfer-Encoding: chunked\r\n"),
                    EndsWith("\r\n\r\n3\r\nabc\r\n0\r\n\r\n")));
  world.says(server, ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ProxyRequests, ABodyGoesUpAsItComes) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server), EndsWith("Content-Length: 10\r\n\r\n01234"));
  world.says(client, "56789");
  EXPECT_EQ(world.heard(server), "56789");
  world.says(server, ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  EXPECT_EQ(world.proxy().counters().idle.get(), 1U);
}

TEST(ProxyRequests, ChunksAndTrailersPassBothWays) {
  ProxyWorld world;
  const auto client = world.client();
  const std::string body = "5;name=value\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body);
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server), EndsWith("\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"));
  world.says(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
  world.says(server, "0\r\nX-Sum: 2\r\n\r\n");
  EXPECT_EQ(world.heard(client),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n");
  EXPECT_EQ(world.proxy().counters().idle.get(), 1U);
}

TEST(ProxyRequests, AClientOfHttp10GetsChunksTakenApart) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.0\r\n\r\n");
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server), StartsWith("GET / HTTP/1.1\r\nHost: \r\n"));
  world.says(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nabc\r\n0\r\n\r\n");
  EXPECT_EQ(world.heard(client), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nokabc");
  EXPECT_TRUE(world.peer(client).finished);
}

TEST(ProxyRequests, AClientOfHttp10MayKeepItsConnection) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi");
  EXPECT_FALSE(world.peer(client).finished);
}

TEST(ProxyRequests, AnswersToHeadAndWithoutContentHaveNoBody) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_EQ(world.heard(client), "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  for (const std::string_view status : {"204 No Content", "304 Not Modified"}) {
    world.says(client, ProxyWorld::get);
    const std::string answer = "HTTP/1.1 " + std::string(status) + "\r\nETag: \"a\"\r\n\r\n";
    world.says(world.last_opened(), answer);
    EXPECT_EQ(world.heard(client), answer);
  }
  EXPECT_EQ(world.opened().size(), 1U);
}

TEST(ProxyRequests, AnAnswerThatEndsWithItsConnectionEndsTheClients) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  const auto server = world.last_opened();
  world.says(server, "HTTP/1.1 200 OK\r\n\r\nsome");
  world.says(server, " more");
  EXPECT_FALSE(world.peer(client).finished);
  world.finishes(server);
  EXPECT_EQ(world.heard(client), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome more");
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_FALSE(world.peer(client).reset);
}

TEST(ProxyRequests, ConnectionCloseIsObeyedOnEachSideByItself) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(world.heard(world.last_opened()), Not(HasSubstr("Connection")));
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_EQ(world.proxy().counters().idle.get(), 1U);
  const auto other = world.client();
  world.says(other, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(world.heard(other), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(world.peer(other).finished);
  EXPECT_EQ(world.proxy().counters().idle.get(), 0U);
}

TEST(ProxyRequests, FieldsThatConcernOneConnectionAreNotPassedOn) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client,
             "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\n"
             "Proxy-Connection: x\r\nTE: trailers\r\nX-Public: 2\r\n\r\n");
  EXPECT_EQ(world.heard(world.last_opened()),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Public: 2\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n");
}

TEST(ProxyRequests, InterimAnswersPassAndTheFinalOneFollows) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server), HasSubstr("Expect: 100-continue\r\n"));
  world.says(server, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(world.heard(client), "HTTP/1.1 100 Continue\r\n\r\n");
  world.says(client, "body");
  EXPECT_EQ(world.heard(server), "body");
  world.says(server, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + std::string(ProxyWorld::ok));
  EXPECT_EQ(world.heard(client), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + std::string(ProxyWorld::ok));
}

// RFC 9110 section 10.1.1: a client sends no expectation without content, and in HTTP/1.0 one is ignored. To the server
// we are a client of HTTP/1.1.
TEST(ProxyRequests, AnExpectationThatCountsForNothingIsNotPassedOn) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server), Not(HasSubstr("Expect")));
  world.says(server, ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  world.says(client, "POST / HTTP/1.0\r\nHost: a\r\nexpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody");
  const std::string heard = world.heard(server);
  EXPECT_THAT(heard, Not(HasSubstr("xpect")));
  EXPECT_THAT(heard, EndsWith("body"));
}

TEST(ProxyRequests, AnAnswerBeforeTheRequestsEndIsDeliveredAndThenTheConnectionCloses) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfirst");
  const auto server = world.last_opened();
  world.says(server, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
  EXPECT_EQ(world.heard(client), "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_TRUE(world.peer(server).gone);
  world.says(client, "what still comes is thrown away");
  EXPECT_FALSE(world.peer(client).reset);
  EXPECT_EQ(world.peer(client).consumed, world.peer(client).delivered);
}

TEST(ProxyRequests, AnUpgradeBecomesATunnelAfterA101) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(
      client,
      "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n");
  const auto server = world.last_opened();
  EXPECT_THAT(world.heard(server),
              AllOf(HasSubstr("Connection: upgrade\r\nUpgrade: websocket\r\n"), HasSubstr("Sec-WebSocket-Key: k\r\n")));
  world.says(server, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02");
  EXPECT_EQ(world.heard(client),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02");
  world.says(client, "ping");
  EXPECT_EQ(world.heard(server), "ping");
  world.says(server, "pong");
  EXPECT_EQ(world.heard(client), "pong");
  world.advance(std::chrono::minutes{10});
  world.says(client, "still there");
  EXPECT_EQ(world.heard(server), "still there");
  world.finishes(client);
  EXPECT_TRUE(world.peer(server).finished);
  EXPECT_FALSE(world.peer(client).finished);
  world.says(server, "bye");
  world.finishes(server);
  EXPECT_EQ(world.heard(client), "bye");
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_FALSE(world.peer(client).reset);
}

TEST(ProxyRequests, ASilentTunnelEndsAtItsTimeout) {
  service::HttpSettings http;
  http.tunnel_timeout = std::chrono::seconds{30};
  ProxyWorld world({.http = http});
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  world.says(world.last_opened(), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  world.advance(std::chrono::seconds{29});
  EXPECT_FALSE(world.peer(client).gone);
  world.advance(std::chrono::seconds{2});
  EXPECT_TRUE(world.peer(client).gone);
}

TEST(ProxyRequests, A101ThatNobodyAskedForIsNoAnswer) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 502 "));
}

TEST(ProxyRequests, AnUpgradeThatIsNotGrantedEndsWhenTheClientHasSpokenAlready) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client,
             "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), HasSubstr("Connection: close"));
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_THAT(world.heard(world.last_opened()), Not(HasSubstr("smuggled")));
}

TEST(ProxyRequests, ASlowReaderStopsItsServerAndGetsEveryOctet) {
  ProxyWorld world;
  const auto client = world.client();
  world.set_room(client, 3'000);
  world.says(client, ProxyWorld::get);
  const auto server = world.last_opened();
  std::string body(100'000, 'x');
  for (std::size_t at = 0; at < body.size(); ++at) {
    body[at] = static_cast<char>('a' + at % 23);
  }
  world.says(server, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body);
  EXPECT_LT(world.peer(server).consumed, 40'000U);  // the window stays shut
  std::string all = world.heard(client);
  for (int step = 0; step < 200 && all.size() < body.size(); ++step) {
    world.set_room(client, 2'000);
    all += world.heard(client);
  }
  EXPECT_EQ(all, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body);
  EXPECT_EQ(world.peer(server).consumed, world.peer(server).delivered);
}

TEST(ProxyRequests, AServerThatReadsSlowlyStopsItsClient) {
  ProxyWorld world;
  const auto client = world.client();
  world.accept_at_once = false;
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  const auto server = world.last_opened();
  world.set_room(server, 2'000);
  world.accepts(server);
  world.says(client, std::string(100'000, 'y'));
  EXPECT_LT(world.peer(client).consumed, 40'000U);
  std::size_t got = world.heard(server).size();
  for (int step = 0; step < 200; ++step) {
    world.set_room(server, 2'000);
    got += world.heard(server).size();
  }
  EXPECT_GT(got, 100'000U);
  EXPECT_EQ(world.peer(client).consumed, world.peer(client).delivered);
  world.says(server, ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ProxyRequests, WhoPipelinesAndDoesNotReadGetsNoMoreRequestsServed) {
  ProxyWorld world;
  const auto client = world.client();
  world.set_room(client, 0);
  world.says(client, std::string(ProxyWorld::get) + std::string(ProxyWorld::get));
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(world.last_opened()), StartsWith("GET "));
  EXPECT_EQ(world.proxy().counters().requests.get(), 1U);
  world.advance(std::chrono::seconds{61});
  EXPECT_TRUE(world.peer(client).reset);
}

TEST(ProxyRequests, AConnectionCarriesAsManyRequestsAsItMay) {
  service::HttpSettings http;
  http.most_requests = 2;
  ProxyWorld world({.http = http});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), Not(HasSubstr("Connection: close")));
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), HasSubstr("Connection: close"));
  EXPECT_TRUE(world.peer(client).finished);
}

TEST(ProxyRequests, WhoClosesAfterAResponseIsClosedToo) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  world.finishes(client);
  EXPECT_TRUE(world.peer(client).gone);
  EXPECT_FALSE(world.peer(client).reset);
}

TEST(ProxyRequests, AClientThatHasSaidAllAndFinishedStillGetsItsAnswer) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.finishes(client);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  EXPECT_TRUE(world.peer(client).gone);
  EXPECT_FALSE(world.peer(client).reset);
}

TEST(ProxyRequests, EveryRequestHasALineInTheLog) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "GET /x HTTP/1.1\r\nHost: h.example:8080\r\n\r\n");
  world.advance(std::chrono::milliseconds{250});
  world.says(world.last_opened(), ProxyWorld::ok);
  ASSERT_EQ(world.log().size(), 1U);
  const AccessRecord& record = world.log()[0];
  EXPECT_EQ(record.method.view(), "GET");
  EXPECT_EQ(record.host.view(), "h.example");
  EXPECT_EQ(record.target_text.view(), "/x");
  EXPECT_EQ(record.status, 200);
  EXPECT_EQ(record.cause, Cause::none);
  EXPECT_EQ(record.backend.value, 1U);
  EXPECT_EQ(record.client.to_string(), "198.51.100.7");
  EXPECT_EQ(record.first_octet_us, 250'000U);
  EXPECT_EQ(record.total_us, 250'000U);
  EXPECT_EQ(record.octets_out, world.heard_with_date(client).size());
  EXPECT_EQ(record.octets_in, world.peer(client).delivered);
}

}  // namespace
}  // namespace steelyard::http

// Clients that fail: what they are told, and each timeout and limit for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/own_answer.h"
#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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

TEST(ProxyFailures, AMalformedChunkOfARequestEndsBothConnections) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0_2\r\nab\r\n");
  EXPECT_THAT(world.heard(client), says(400, "BR"));
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_TRUE(world.peer(world.last_opened()).gone);
  EXPECT_THAT(world.heard(world.last_opened()), Not(HasSubstr("0_2")));
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

}  // namespace
}  // namespace steelyard::http

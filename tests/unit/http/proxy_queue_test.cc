// No server, no room at servers, no room of our own: who waits, in which order, and what a client is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/own_answer.h"
#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;
using testing::StartsWith;

TEST(ProxyQueue, A503FollowsWithoutAServer) {
  ProxyWorld world;
  world.set_up(0, false);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), says(503, "NS"));
  EXPECT_FALSE(world.peer(client).finished);
}

TEST(ProxyQueue, RequestsWaitInTheirOrderForAServerWithRoom) {
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

TEST(ProxyQueue, A503FollowsWhenNoServerHasRoomInTime) {
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

TEST(ProxyQueue, APlaceThatComesFromElsewhereIsFound) {
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

TEST(ProxyQueue, A503FollowsWhenTheQueueIsFullOrOff) {
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

TEST(ProxyQueue, AClientThatGoesLeavesTheQueue) {
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

TEST(ProxyQueue, A503FollowsWithoutRoom) {
  ProxyWorld world({.exchanges = 1});
  const auto busy = world.client();
  world.says(busy, ProxyWorld::get);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), says(503, "NR"));
}

TEST(ProxyQueue, WithoutABufferTheConnectionIsReset) {
  ProxyWorld world;
  const auto client = world.client();
  world.without_rooms(true);
  world.says(client, ProxyWorld::get);
  EXPECT_TRUE(world.peer(client).reset);
}

}  // namespace
}  // namespace steelyard::http

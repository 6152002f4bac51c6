// Listeners and rules that change or go while clients are there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(ProxyChanges, AStoppedListenerFinishesAndTakesNoMore) {
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

TEST(ProxyChanges, ARedirectListenerKeepsHostPathAndQuery) {
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

TEST(ProxyChanges, ARequestWhoseRuleIsTakenAwayGoesWhereSuchRequestsGoNow) {
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

TEST(ProxyChanges, ARequestWhoseRuleIsTakenAwayIsAnsweredWhereSuchRequestsAreNow) {
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

TEST(ProxyChanges, ARequestThatWaitsForARuleThatIsTakenAwayGoesWhereSuchRequestsGoNow) {
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

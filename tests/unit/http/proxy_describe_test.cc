// What connections are said to be doing.
#include <gtest/gtest.h>

#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

constexpr std::string_view upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
constexpr std::string_view switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

TEST(Describing, AClientIsFollowedFromItsFirstOctetToItsEnd) {
  ProxyWorld world;
  world.accept_at_once = false;
  const auto client = world.client();
  EXPECT_EQ(world.describe(client).side, Side::client);
  EXPECT_EQ(world.describe(client).activity, Activity::idle);
  world.says(client, ProxyWorld::get.substr(0, 5));
  EXPECT_EQ(world.describe(client).activity, Activity::reading);
  world.says(client, ProxyWorld::get.substr(5));
  EXPECT_EQ(world.describe(client).activity, Activity::connecting);
  const auto server = world.last_opened();
  world.accepts(server);
  EXPECT_EQ(world.describe(client).activity, Activity::waiting);
  EXPECT_EQ(world.describe(client).other, world.peer(server).id);
  EXPECT_EQ(world.describe(server).other, world.peer(client).id);
  EXPECT_EQ(world.describe(server).side, Side::server);
  world.says(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
  EXPECT_EQ(world.describe(server).activity, Activity::answering);
  world.says(server, "i");
  EXPECT_EQ(world.describe(client).activity, Activity::idle);
  EXPECT_EQ(world.describe(client).requests, 1U);
  EXPECT_EQ(world.describe(client).other, tcp::ConnectionId{});
  EXPECT_EQ(world.describe(server).activity, Activity::idle);
  world.says(client, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(world.describe(client).activity, Activity::closing);
}

TEST(Describing, ATunnelAndAReaderThatDoesNotRead) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, upgrade);
  world.says(world.last_opened(), switches);
  EXPECT_EQ(world.describe(client).activity, Activity::tunnel);
  const auto slow = world.client();
  world.says(slow, ProxyWorld::get);
  world.set_room(slow, 0);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_GT(world.describe(slow).unsent, 0U);
  world.resets(slow);
  EXPECT_EQ(world.describe(slow).side, Side::none);
}

}  // namespace
}  // namespace steelyard::http

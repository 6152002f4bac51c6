// Servers that are taken away from the requests that they have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

constexpr std::string_view post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
constexpr std::string_view upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
constexpr std::string_view switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

auto is_withdrawn() {
  return AllOf(StartsWith("HTTP/1.1 502 "), HasSubstr("Steelyard: SW"));
}

class Withdrawals : public ::testing::Test {
 protected:
  // The server of the request that was sent last.
  [[nodiscard]] service::BackendId backend() { return backend_of(world_.peer(world_.last_opened()).server); }
  [[nodiscard]] service::BackendId backend_of(const service::Address& address) {
    for (const service::Server& server : world_.listener().servers) {
      if (server.address == address) {
        return server.id;
      }
    }
    return {};
  }
  std::size_t withdraw(service::BackendId backend) {
    const std::array<service::BackendId, 1> backends{backend};
    Withdrawal which;
    which.backends = backends;
    return world_.withdraw(which);
  }

  ProxyWorld world_{{.servers = 2}};
};

TEST_F(Withdrawals, ARequestThatMayBeRepeatedIsAnsweredByAnotherServer) {
  const auto client = world_.client();
  world_.says(client, ProxyWorld::get);
  const auto first = world_.last_opened();
  EXPECT_EQ(withdraw(backend()), 1U);
  EXPECT_TRUE(world_.peer(first).reset);
  const auto second = world_.last_opened();
  EXPECT_NE(world_.peer(second).server, world_.peer(first).server);
  world_.says(second, ProxyWorld::ok);
  EXPECT_THAT(world_.heard(client), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(world_.log().back().retries, 1);
}

TEST_F(Withdrawals, OneWhoseBodyIsOnItsWayIsAnsweredByUs) {
  const auto client = world_.client();
  world_.says(client, post);
  EXPECT_EQ(withdraw(backend()), 1U);
  EXPECT_THAT(world_.heard(client), is_withdrawn());
  EXPECT_THAT(world_.opened(), SizeIs(1));
  EXPECT_EQ(world_.log().back().cause, Cause::server_withdrawn);
}

TEST_F(Withdrawals, OneThatHasNotReachedItsServerGoesToAnother) {
  world_.accept_at_once = false;
  const auto client = world_.client();
  world_.says(client, post);
  EXPECT_EQ(withdraw(backend()), 1U);
  ASSERT_THAT(world_.opened(), SizeIs(2));
  world_.accepts(world_.last_opened());
  world_.says(world_.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world_.heard(client), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Withdrawals, WithoutAnotherServerTheAnswerIsOurs) {
  world_.set_up(1, false);
  const auto client = world_.client();
  world_.says(client, ProxyWorld::get);
  EXPECT_EQ(withdraw(backend()), 1U);
  EXPECT_THAT(world_.heard(client), is_withdrawn());
}

TEST_F(Withdrawals, AnAnswerThatHasBegunEndsWithAReset) {
  const auto client = world_.client();
  world_.says(client, ProxyWorld::get);
  world_.says(world_.last_opened(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  EXPECT_EQ(withdraw(backend()), 1U);
  EXPECT_TRUE(world_.peer(client).reset);
  EXPECT_TRUE(world_.peer(world_.last_opened()).reset);
  EXPECT_EQ(world_.log().back().cause, Cause::server_withdrawn);
}

TEST_F(Withdrawals, ATunnelEndsOnBothSides) {
  const auto client = world_.client();
  world_.says(client, upgrade);
  world_.says(world_.last_opened(), switches);
  EXPECT_EQ(withdraw(backend()), 1U);
  EXPECT_TRUE(world_.peer(client).reset);
  EXPECT_TRUE(world_.peer(world_.last_opened()).gone);
}

TEST_F(Withdrawals, IdleConnectionsOfThatServerAreClosedAndNoOthers) {
  const auto client = world_.client();
  for (int request = 0; request < 2; ++request) {
    world_.says(client, ProxyWorld::get);
    world_.says(world_.last_opened(), ProxyWorld::ok);
  }
  ASSERT_THAT(world_.opened(), SizeIs(2));
  const auto kept = world_.opened()[0];
  const auto closed = world_.opened()[1];
  EXPECT_EQ(withdraw(backend_of(world_.peer(closed).server)), 0U);
  EXPECT_TRUE(world_.peer(closed).finished);
  EXPECT_FALSE(world_.peer(kept).gone);
  EXPECT_EQ(world_.proxy().counters().idle.get(), 1U);
}

TEST_F(Withdrawals, OneThatWaitsForItsClientsNextRequestIsClosed) {
  world_.listener().client_address = service::ClientAddress::proxy_v2;
  world_.publish();
  world_.says(world_.client(), ProxyWorld::get);
  const auto server = world_.last_opened();
  world_.says(server, ProxyWorld::ok);
  EXPECT_FALSE(world_.peer(server).finished);
  EXPECT_EQ(withdraw(backend()), 0U) << "no request";
  EXPECT_TRUE(world_.peer(server).finished);
}

TEST_F(Withdrawals, OtherServersRequestsGoOn) {
  const auto client = world_.client();
  world_.says(client, ProxyWorld::get);
  const service::BackendId other{backend().value == 1 ? 2U : 1U};
  EXPECT_EQ(withdraw(other), 0U);
  world_.says(world_.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world_.heard(client), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Withdrawals, AClientsRequestsEndAndAreNotRepeated) {
  const auto one = world_.client("198.51.100.7");
  const auto other = world_.client("198.51.100.8");
  for (const auto client : {one, other}) {
    world_.says(client, ProxyWorld::get);
  }
  Withdrawal which;
  which.client = service::Address::parse("198.51.100.7");
  EXPECT_EQ(world_.withdraw(which, 1), 1U);
  EXPECT_THAT(world_.heard(one), is_withdrawn());
  EXPECT_THAT(world_.heard(other), IsEmpty());
  EXPECT_THAT(world_.opened(), SizeIs(2));
}

TEST_F(Withdrawals, AServerIsNamedByItsAddressAndPort) {
  const auto client = world_.client();
  world_.says(client, ProxyWorld::get);
  Withdrawal which;
  which.server = world_.peer(world_.last_opened()).server;
  which.server_port = 8'081;
  EXPECT_EQ(world_.withdraw(which), 0U);
  which.server_port = 8'080;
  EXPECT_EQ(world_.withdraw(which), 1U);
}

TEST_F(Withdrawals, ARequestThatWaitsForAPlaceIsNoServersYet) {
  world_.set_places(1);
  std::array<std::size_t, 3> clients{};
  for (auto& client : clients) {
    client = world_.client();
    world_.says(client, ProxyWorld::get);
  }
  EXPECT_EQ(world_.describe(clients[2]).activity, Activity::queued);
  const std::array<service::BackendId, 2> backends{service::BackendId{1}, service::BackendId{2}};
  Withdrawal which;
  which.backends = backends;
  EXPECT_EQ(world_.withdraw(which), 2U) << "those that servers have";
  const std::uint64_t left = world_.proxy().counters().exchanges.get();
  EXPECT_GE(left, 1U);
  EXPECT_EQ(world_.withdraw({}), left) << "without conditions: all";
}

}  // namespace
}  // namespace steelyard::http

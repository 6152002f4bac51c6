// Persistence by source IP as a client meets it: its server stays the same for as long as it keeps coming back.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

template <class Family>
class ClientPersistence : public BalancerTest<Family> {
 protected:
  using Test = BalancerTest<Family>;
  ClientPersistence() {
    for (const auto& service : {Test::nat_tcp, Test::fullnat_tcp, Test::nat_udp, Test::fullnat_udp}) {
      world.listener(service).persistence_timeout = 60s;
    }
  }
  // A new connection of a client; the server that it meets.
  std::size_t connect(const typename Test::Service& service, std::size_t client) {
    Connection<Family> connection(world, service, client, ++port_);
    service.protocol == Protocol::tcp ? connection.open() : void(connection.from_client(UdpFields{}));
    return connection.server();
  }
  World<Family> world{{.flows = 256, .servers = 3, .local_ports = {2'000, 2'255}}};

 private:
  std::uint16_t port_ = 1'000;
};
TYPED_TEST_SUITE(ClientPersistence, Families);

TYPED_TEST(ClientPersistence, AClientKeepsItsServerAndOthersGetTheirs) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp, this->nat_udp, this->fullnat_udp}) {
    std::array<std::size_t, 6> servers{};
    for (std::size_t client = 0; client < 6; ++client) {
      servers.at(client) = this->connect(service, client + 1);
    }
    EXPECT_NE(servers[0], servers[1]);
    EXPECT_NE(servers[1], servers[2]);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t client = 0; client < 6; ++client) {
        EXPECT_EQ(this->connect(service, client + 1), servers.at(client));
      }
    }
  }
  EXPECT_EQ(this->world.counters().persistence_hits.get(), 4U * 18U);
}

TYPED_TEST(ClientPersistence, EveryNewConnectionProlongsIt) {
  const std::size_t server = this->connect(this->nat_tcp, 1);
  for (int round = 0; round < 5; ++round) {
    this->world.pass(59s);
    EXPECT_EQ(this->connect(this->nat_tcp, 1), server);
  }
}

TYPED_TEST(ClientPersistence, AfterItsTimeoutTheClientIsANewOne) {
  EXPECT_EQ(this->connect(this->nat_tcp, 1), 0U);
  this->world.pass(60s);
  EXPECT_EQ(this->connect(this->nat_tcp, 1), 1U);
  EXPECT_EQ(this->world.counters().persistence_hits.get(), 0U);
}

TYPED_TEST(ClientPersistence, WithoutItAClientMeetsServersInTurn) {
  this->world.listener(this->nat_tcp).persistence_timeout = 0s;
  EXPECT_NE(this->connect(this->nat_tcp, 1), this->connect(this->nat_tcp, 1));
}

TYPED_TEST(ClientPersistence, AServerThatWentDownLosesItsClientsForGood) {
  const std::size_t first = this->connect(this->nat_tcp, 1);
  this->world.set_up(this->nat_tcp, first, false);
  const std::size_t second = this->connect(this->nat_tcp, 1);
  EXPECT_NE(second, first);
  this->world.set_up(this->nat_tcp, first, true);
  for (int round = 0; round < 4; ++round) {
    EXPECT_EQ(this->connect(this->nat_tcp, 1), second);
  }
}

TYPED_TEST(ClientPersistence, ASecondaryKeepsNoClientWhenThePrimaryIsBack) {
  World<TypeParam> pair({.flows = 256, .servers = 2});
  service::Listener& listener = pair.listener(this->nat_tcp);
  listener.primary_secondary = true;
  listener.persistence_timeout = 60s;
  std::uint16_t port = 5'000;
  const auto meets = [&] {
    Connection<TypeParam> connection(pair, this->nat_tcp, 1, ++port);
    connection.open();
    return connection.server();
  };
  EXPECT_EQ(meets(), 0U);
  pair.set_up(this->nat_tcp, 0, false);
  EXPECT_EQ(meets(), 1U);
  EXPECT_EQ(meets(), 1U);
  pair.set_up(this->nat_tcp, 0, true);
  EXPECT_EQ(meets(), 0U);
  EXPECT_EQ(meets(), 0U);
}

TYPED_TEST(ClientPersistence, AServerWithoutWeightGetsNoClientBack) {
  const std::size_t first = this->connect(this->nat_tcp, 1);
  this->world.set_weight(this->nat_tcp, first, 0);
  const std::size_t second = this->connect(this->nat_tcp, 1);
  EXPECT_NE(second, first);
  EXPECT_EQ(this->connect(this->nat_tcp, 1), second);
}

TYPED_TEST(ClientPersistence, EachServiceHasItsOwn) {
  this->connect(this->nat_tcp, 1);
  this->connect(this->nat_tcp, 2);
  EXPECT_EQ(this->connect(this->nat_tcp, 2), 1U);
  EXPECT_EQ(this->connect(this->fullnat_tcp, 2), 0U);
}

TYPED_TEST(ClientPersistence, ItNeverSendsTwoConnectionsToOneTuple) {
  Connection<TypeParam> other(this->world, this->other_vip_tcp, 1, 9'000);
  other.open();
  const std::size_t known = this->connect(this->nat_tcp, 1);
  EXPECT_EQ(known, other.server());
  Connection<TypeParam> colliding(this->world, this->nat_tcp, 1, 9'000);
  colliding.open();
  EXPECT_NE(colliding.server(), other.server());
  EXPECT_EQ(this->connect(this->nat_tcp, 1), known);
}

}  // namespace
}  // namespace steelyard::l4

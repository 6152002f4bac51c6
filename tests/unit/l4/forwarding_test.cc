// Packets of known flows arrive at the other side as that side must see them, in both modes and families.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using test::Bytes;

template <class Family>
class Forwarding : public BalancerTest<Family> {};
TYPED_TEST_SUITE(Forwarding, Families);

TYPED_TEST(Forwarding, NatKeepsTheClientsAddressAndPortAtTheServer) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  Frame seen = connection.from_client({.sequence = {1'000}, .flags = syn});
  const auto tuple = seen.parse().template tuple<TypeParam>();
  EXPECT_EQ(tuple.source, world.client(1));
  EXPECT_EQ(tuple.source_port, __builtin_bswap16(std::uint16_t{40'000}));
  EXPECT_EQ(tuple.destination, world.server(connection.server()));
  EXPECT_EQ(tuple.destination_port, __builtin_bswap16(std::uint16_t{8080}));
  EXPECT_EQ(seen.sequence(), Sequence{1'000});
  EXPECT_EQ(seen.flags(), syn);
}

TYPED_TEST(Forwarding, FullNatComesFromALocalAddressAndPort) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  Frame seen = connection.send_syn();
  const auto tuple = seen.parse().template tuple<TypeParam>();
  EXPECT_EQ(tuple.source, world.local());
  EXPECT_GE(__builtin_bswap16(tuple.source_port), 2'000);
  EXPECT_LE(__builtin_bswap16(tuple.source_port), 2'063);
  EXPECT_EQ(tuple.destination_port, __builtin_bswap16(std::uint16_t{8080}));
  EXPECT_EQ(seen.flags(), syn);
}

TYPED_TEST(Forwarding, AnAnswerReachesTheClientFromTheVip) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    Frame seen = connection.send_syn_ack({700'000});
    EXPECT_EQ(seen.parse().template tuple<TypeParam>(), connection.client_side.reversed());
    EXPECT_EQ(seen.sequence(), Sequence{700'000});
    EXPECT_EQ(seen.acknowledgment(), Sequence{1'001});
    EXPECT_EQ(seen.flags(), syn | ack);
  }
}

TYPED_TEST(Forwarding, DataPassesBothWaysUnchangedButForItsEndsAndNumbers) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open();
    const Bytes sent = test::tcp(connection.client_side, {.payload = 333}).bytes;
    Frame at_server = connection.client_data(333, ack | psh);
    EXPECT_EQ(at_server.sequence(), Sequence{1'001} + connection.delta);
    EXPECT_EQ(at_server.acknowledgment(), Sequence{700'001});
    EXPECT_EQ(at_server.flags(), ack | psh);
    EXPECT_TRUE(std::ranges::equal(at_server.l4().subspan(20), std::span(sent).last(333)));
    Frame at_client = connection.server_data(100);
    EXPECT_EQ(at_client.sequence(), Sequence{700'001});
    EXPECT_EQ(at_client.acknowledgment(), Sequence{1'334});
  }
}

TYPED_TEST(Forwarding, TheSlowPathForwardsLikeTheFastOne) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> fast;
    World<TypeParam> slow(typename TestFixture::Options{.resolved_servers = false});
    Connection<TypeParam> one(fast, service);
    Connection<TypeParam> other(slow, service);
    one.open();
    other.open();
    EXPECT_EQ(one.client_data(10).bytes, other.client_data(10).bytes);
    EXPECT_EQ(one.server_data(20).bytes, other.server_data(20).bytes);
    EXPECT_EQ(slow.fast(), 0U);
    EXPECT_GT(fast.fast(), 0U);
  }
}

TYPED_TEST(Forwarding, UdpPassesBothWays) {
  for (const auto& service : {this->nat_udp, this->fullnat_udp}) {
    World<TypeParam> world;
    Connection<TypeParam> exchange(world, service);
    for (int round = 0; round < 2; ++round) {
      Frame at_server = exchange.from_client(UdpFields{.payload = 31});
      const auto tuple = at_server.parse().template tuple<TypeParam>();
      EXPECT_EQ(tuple.source, service.mode == Mode::nat ? world.client(1) : world.local());
      EXPECT_EQ(tuple.destination, world.server(exchange.server()));
      Frame at_client = exchange.from_server(UdpFields{.payload = 17});
      EXPECT_EQ(at_client.parse().template tuple<TypeParam>(), exchange.client_side.reversed());
    }
    EXPECT_EQ(world.counters().flows_created.get(), 1U);
  }
}

TEST(ForwardingIpv4, AUdpChecksumOfZeroStaysZero) {
  for (const Mode mode : {Mode::nat, Mode::fullnat}) {
    World<packet::Ipv4> world;
    Connection<packet::Ipv4> exchange(world, {Protocol::udp, mode});
    for (int round = 0; round < 2; ++round) {
      EXPECT_EQ(test::get16(exchange.from_client(UdpFields{.payload = 5, .without_checksum = true}).l4(), 6), 0);
      EXPECT_EQ(test::get16(exchange.from_server(UdpFields{.payload = 5, .without_checksum = true}).l4(), 6), 0);
    }
  }
}

// RFC 768: a sum of zero is sent as all ones; over IPv6 a zero would even be dropped (RFC 8200 section 8.1).
TYPED_TEST(Forwarding, AUdpChecksumNeverBecomesZero) {
  World<TypeParam> world;
  Connection<TypeParam> exchange(world, this->nat_udp);
  exchange.from_client(UdpFields{.payload = 2});
  std::size_t all_ones = 0;
  for (std::uint32_t word = 0; word < 0x10000; ++word) {
    Frame frame = test::udp(exchange.client_side, {.payload = 2});
    test::put16(frame.bytes, frame.bytes.size() - 2, word);
    frame.fix_checksums();
    EXPECT_EQ(text(world.receive(frame)), "forward");
    ASSERT_NE(test::get16(frame.l4(), 6), 0);
    all_ones += test::get16(frame.l4(), 6) == 0xffff ? 1U : 0U;
  }
  EXPECT_GT(all_ones, 0U);
}

TEST(ForwardingIpv4, IpOptionsOfAPacketAreKept) {
  World<packet::Ipv4> world;
  Connection<packet::Ipv4> connection(world, {Protocol::tcp, Mode::nat});
  Frame seen = connection.from_client({.sequence = {1}, .flags = syn, .ip = {.options = {1, 1, 1, 0}}});
  EXPECT_EQ(seen.l4_offset(), 14U + 24U);
  EXPECT_THAT(seen.l3().subspan(20, 4), testing::ElementsAre(1, 1, 1, 0));
}

TYPED_TEST(Forwarding, AHopLimitOfOneEndsHere) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    EXPECT_EQ(connection.try_client({.flags = syn, .ip = {.ttl = 1}}), "drop ttl_expired");
    EXPECT_EQ(world.balancer().flows(), 0U);
    connection.open();
    EXPECT_EQ(connection.try_client({.sequence = connection.client_next, .ip = {.ttl = 1}}), "drop ttl_expired");
    EXPECT_EQ(connection.try_server({.sequence = connection.server_next, .ip = {.ttl = 1}}), "drop ttl_expired");
  }
}

TYPED_TEST(Forwarding, PacketsAndBytesAreCountedForTheServer) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  connection.open();
  connection.client_data(100);
  connection.server_data(1'000);
  const BackendCounters& counted = world.backend(world.listener(this->fullnat_tcp).servers[connection.server()].id);
  const std::size_t headers = TypeParam::header_size + 20;
  EXPECT_EQ(counted.connections.get(), 1U);
  EXPECT_EQ(counted.packets_in.get(), 3U);
  EXPECT_EQ(counted.bytes_in.get(), 3 * headers + 100);
  EXPECT_EQ(counted.packets_out.get(), 2U);
  EXPECT_EQ(counted.bytes_out.get(), 2 * headers + 1'000);
}

TYPED_TEST(Forwarding, WithoutARouteAPacketIsDroppedByName) {
  World<TypeParam> world;
  world.snapshot().routes.clear();
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  EXPECT_EQ(connection.try_client({.flags = syn}), "drop no_route");
  EXPECT_EQ(world.balancer().flows(), 0U);
}

}  // namespace
}  // namespace steelyard::l4

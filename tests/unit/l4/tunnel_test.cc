// Mode `tunnel`: the client's packets reach the server as they are, behind an outer header of either family, and the
// server answers past us.
#include <set>

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// Packets of `Inner` in packets of `OuterFamily`.
template <class In, class Out>
struct Through {
  using Inner = In;
  using Outer = Out;
};

template <class Pair>
class Tunnel : public BalancerTest<typename Pair::Inner> {
 protected:
  using InnerFamily = typename Pair::Inner;
  using OuterFamily = typename Pair::Outer;
  using TestWorld = World<InnerFamily>;
  using TestConnection = Connection<InnerFamily>;
  static constexpr bool mixed = InnerFamily::is_v6 != OuterFamily::is_v6;
  static constexpr std::size_t overhead = OuterFamily::header_size;
  static constexpr std::size_t fits = 1'500 - overhead;
  static constexpr std::size_t headers = InnerFamily::header_size + 20;

  static typename TestWorld::Options options() { return {.other_servers = mixed}; }
  // The client's half of a handshake; the server numbers from 700,000 on.
  static void open(TestConnection& connection) {
    connection.send_syn({1'000});
    connection.server_next = {700'001};
    connection.send_ack();
  }
  static std::uint16_t outer_length(const Bytes& outer) {
    return OuterFamily::is_v6 ? static_cast<std::uint16_t>(test::get16(outer, 4) + 40U) : test::get16(outer, 2);
  }
  static service::Address outer_source(const Bytes& outer) {
    return l4::to_service(packet::load<typename OuterFamily::Address>(&outer[OuterFamily::source_offset]));
  }
  static Frame data(const TestConnection& connection, std::size_t payload, bool may_be_split = false) {
    Frame frame =
        test::tcp(connection.client_side,
                  {.sequence = connection.client_next, .acknowledgment = connection.server_next, .payload = payload});
    if (!InnerFamily::is_v6 && !may_be_split) {
      frame.l3()[6] |= 0x40U;
      frame.fix_checksums();
    }
    return frame;
  }
  static std::string send(TestWorld& world, const TestConnection& connection, std::size_t length,
                          bool may_be_split = false) {
    Frame frame = data(connection, length - headers, may_be_split);
    return text(world.receive(frame));
  }
  // A router on the way to the server says that only `mtu` bytes go on; about the last packet into the tunnel, of which
  // it quotes no more than it must.
  static Frame too_big(const TestWorld& world, std::uint16_t mtu) {
    Bytes message{OuterFamily::is_v6 ? std::uint8_t{2} : std::uint8_t{3},
                  OuterFamily::is_v6 ? std::uint8_t{0} : std::uint8_t{4},
                  0,
                  0,
                  0,
                  0,
                  0,
                  0};
    test::put16(message, 6, mtu);
    test::append(message, world.outer());
    message.resize(message.size() + 8);
    Frame frame =
        test::ip<OuterFamily>(test::address<OuterFamily>(OuterFamily::is_v6 ? "2001:db8:f::1" : "203.0.113.1"),
                              packet::load<typename OuterFamily::Address>(&world.outer()[OuterFamily::source_offset]),
                              OuterFamily::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp, message);
    frame.fix_checksums();
    return frame;
  }
  static std::string tell(TestWorld& world, std::uint16_t mtu) {
    Frame error = too_big(world, mtu);
    return text(world.receive(error));
  }
};
using Pairs = testing::Types<Through<packet::Ipv4, packet::Ipv4>, Through<packet::Ipv4, packet::Ipv6>,
                             Through<packet::Ipv6, packet::Ipv4>, Through<packet::Ipv6, packet::Ipv6>>;
TYPED_TEST_SUITE(Tunnel, Pairs);

TYPED_TEST(Tunnel, AServerGetsWhatTheClientHasSentBehindOneHeader) {
  using Inner = typename TypeParam::Inner;
  using Outer = typename TypeParam::Outer;
  World<Inner> world(this->options());
  for (const TcpFields& fields :
       {TcpFields{.sequence = {1'000}, .flags = syn}, TcpFields{.sequence = {1'001}, .acknowledgment = {700'001}},
        TcpFields{.sequence = {1'001}, .acknowledgment = {700'001}, .payload = 333}}) {
    Frame sent = test::tcp(world.to_service(this->tunnel_tcp), fields);
    Inner::is_v6 ? test::put16(sent.bytes, 14, 0x6ab0) : test::put16(sent.bytes, 14, 0x45ab);  // traffic class 0xab
    sent.fix_checksums();
    Frame seen = sent;
    ASSERT_EQ(text(world.receive(seen)), "forward");
    sent.l3()[Inner::ttl_offset] -= 1;
    sent.fix_checksums();
    EXPECT_TRUE(std::ranges::equal(seen.l3(), sent.l3()));
    const Bytes& outer = world.outer();
    ASSERT_THAT(outer, SizeIs(this->overhead));
    EXPECT_EQ(this->outer_length(outer), this->overhead + sent.l3().size());
    EXPECT_EQ(outer[Outer::is_v6 ? 6 : 9], Inner::is_v6 ? 41 : 4);
    EXPECT_EQ(outer[Outer::ttl_offset], 64);
    EXPECT_EQ(Outer::is_v6 ? test::get16(outer, 0) >> 4U & 0xffU : outer[1], 0xabU) << "class and congestion";
    if (!Outer::is_v6) {
      EXPECT_EQ(test::get16(outer, 6), 0x4000U) << "not to be split";
    }
  }
  EXPECT_EQ(world.fast(), 1U) << "data goes the fast way";
}

TYPED_TEST(Tunnel, TheSourceIsOurs) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  EXPECT_EQ(this->outer_source(world.outer()), this->mixed ? world.other_own() : l4::to_service(world.local()))
      << "the pool's before the port's";
}

TYPED_TEST(Tunnel, FlowsDifferInWhatTheServersNicSees) {
  auto options = this->options();
  options.locals = 8;
  World<typename TypeParam::Inner> world(options);
  std::set<std::uint32_t> seen;  // flow labels, or addresses
  for (std::uint16_t port = 40'000; port < 40'008; ++port) {
    Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp, 1, port);
    this->open(connection);
    const auto variable = [&] { return test::get32(world.outer(), TypeParam::Outer::is_v6 ? 0 : 12); };
    const std::uint32_t first = variable();
    connection.client_data(10);
    EXPECT_EQ(variable(), first) << "a flow stays in one queue";
    seen.insert(first);
  }
  if (!this->mixed || TypeParam::Outer::is_v6) {
    EXPECT_GT(seen.size(), 2U);
  }
}

TYPED_TEST(Tunnel, AConnectionStaysOnItsServerAndIsListedWithIt) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  const std::size_t server = world.direct_server();
  ASSERT_LT(server, 2U);
  connection.client_data(10);
  EXPECT_EQ(world.direct_server(), server);
  FlowFilter filter;
  filter.server = world.tunnel_server(server);
  ASSERT_THAT(world.flows(filter), SizeIs(1));
  EXPECT_EQ(world.flows()[0].server, world.tunnel_server(server));
  filter.server = world.tunnel_server(1 - server);
  EXPECT_THAT(world.flows(filter), IsEmpty());
}

TYPED_TEST(Tunnel, WhatDoesNotFitIsToldToItsSender) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  EXPECT_EQ(this->send(world, connection, this->fits), "forward");
  EXPECT_EQ(this->send(world, connection, this->fits + 1), "too big for " + std::to_string(this->fits));
}

TYPED_TEST(Tunnel, WhatMayBeSplitIs) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  EXPECT_EQ(this->send(world, connection, this->fits + 1, true),
            TypeParam::Inner::is_v6 ? "too big for " + std::to_string(this->fits) : "split for 1500");
}

TYPED_TEST(Tunnel, ARoutersWordAboutThePathIsHeardForTenMinutes) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  ASSERT_EQ(this->send(world, connection, this->fits), "forward");
  const bool own = this->mixed;  // the source is the node's own address: the kernel may have sent from there, too
  EXPECT_EQ(this->tell(world, 1'400), own ? "unclaimed" : "consumed");
  const std::size_t narrow = 1'400 - this->overhead;
  world.pass(1s);
  EXPECT_EQ(this->send(world, connection, narrow + 1), "too big for " + std::to_string(narrow));
  EXPECT_EQ(this->send(world, connection, narrow), "forward");
  for (int minute = 0; minute < 13; ++minute) {
    world.pass(60s);
    connection.client_data(1);
  }
  EXPECT_EQ(this->send(world, connection, this->fits), "forward");
}

TYPED_TEST(Tunnel, AForgedErrorCannotMakeThePathNarrowerThanAllLinksAre) {
  using Inner = typename TypeParam::Inner;
  World<Inner> world(this->options());
  Connection<Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  ASSERT_EQ(this->send(world, connection, this->fits), "forward");
  static_cast<void>(this->tell(world, 100));
  world.pass(1s);
  const std::size_t least = TypeParam::Outer::minimum_mtu - this->overhead;
  EXPECT_EQ(this->send(world, connection, least), "forward");
  // IPv6 inside may always be as large as 1,280 bytes: then the outer packet is split.
  EXPECT_EQ(this->send(world, connection, std::max<std::size_t>(least + 1, Inner::is_v6 ? 1'280 : 0)),
            Inner::is_v6 ? "split for " + std::to_string(TypeParam::Outer::minimum_mtu)
                         : "too big for " + std::to_string(least));
  EXPECT_EQ(this->send(world, connection, 1'400),
            "too big for " + std::to_string(Inner::is_v6 ? std::max<std::size_t>(least, 1'280) : least));
}

TYPED_TEST(Tunnel, AnErrorThatCannotBeTrueChangesNothing) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  static_cast<void>(this->tell(world, 1'400));  // about a packet that was smaller
  ASSERT_EQ(this->send(world, connection, this->fits), "forward");
  Frame broken = this->too_big(world, 1'400);
  broken.bytes.back() ^= 1U;  // the checksum is wrong
  EXPECT_EQ(text(world.receive(broken)), "unclaimed");
  world.pass(1s);
  EXPECT_EQ(this->send(world, connection, this->fits), "forward");
}

TYPED_TEST(Tunnel, AnErrorAboutATunnelOfSomebodyElseIsNotOurs) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  ASSERT_EQ(this->send(world, connection, this->fits), "forward");
  Frame error = this->too_big(world, 1'400);
  const std::size_t quote = 14 + this->overhead + 8;
  constexpr std::size_t last = sizeof(typename TypeParam::Outer::Address) - 1;
  error.bytes[14 + TypeParam::Outer::destination_offset + last] ^= 0x20U;
  error.bytes[quote + TypeParam::Outer::source_offset + last] ^= 0x20U;
  error.fix_checksums();
  EXPECT_EQ(text(world.receive(error)), "unclaimed");
  world.pass(1s);
  EXPECT_EQ(this->send(world, connection, this->fits), "forward");
}

TYPED_TEST(Tunnel, AnErrorAboutAnAnswerGoesToTheServerThatSentIt) {
  using Inner = typename TypeParam::Inner;
  World<Inner> world(this->options());
  Connection<Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  const std::size_t server = world.direct_server();
  const Frame answer =
      test::tcp(connection.client_side.reversed(), {.sequence = {700'001}, .acknowledgment = {1'001}, .payload = 500});
  Bytes message{Inner::is_v6 ? std::uint8_t{2} : std::uint8_t{3},
                Inner::is_v6 ? std::uint8_t{0} : std::uint8_t{4},
                0,
                0,
                0,
                0,
                0x05,
                0};
  test::append(message, Frame(answer).l3());
  Frame error = test::ip<Inner>(world.client(9), world.vip(),
                                Inner::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp, message);
  error.fix_checksums();
  EXPECT_EQ(text(world.receive(error)), "forward");
  EXPECT_THAT(world.outer(), SizeIs(this->overhead));
  EXPECT_EQ(world.direct_server(), server);
}

TYPED_TEST(Tunnel, AnIdleConnectionIsResetThroughTheTunnel) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  this->open(connection);
  connection.client_data(100);
  const std::size_t server = world.direct_server();
  const std::size_t before = world.tunneled();
  world.pass(901s);
  EXPECT_EQ(world.tunneled(), before + 1) << "the server's reset";
  EXPECT_THAT(world.flows(), IsEmpty());
  auto sent = world.sent();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(world.direct_server(), server);
  EXPECT_EQ(sent[0].parse().template tuple<typename TypeParam::Inner>(), connection.client_side);
  EXPECT_EQ(sent[0].sequence(), connection.client_next);
  EXPECT_EQ(sent[1].parse().template tuple<typename TypeParam::Inner>(), connection.client_side.reversed());
}

TYPED_TEST(Tunnel, ASynOffersNoLargerSegmentsThanFit) {
  World<typename TypeParam::Inner> world(this->options());
  Connection<typename TypeParam::Inner> connection(world, this->tunnel_tcp);
  Frame large = connection.from_client({.sequence = {1'000}, .flags = syn, .options = {2, 4, 0x05, 0xb4}});
  EXPECT_EQ(test::get16(large.l4(), 22), this->fits - this->headers);
  Frame small = connection.from_client({.sequence = {1'000}, .flags = syn, .options = {2, 4, 0x02, 0x18}});
  EXPECT_EQ(test::get16(small.l4(), 22), 536U);
}

TYPED_TEST(Tunnel, DatagramsAndTheirLaterFragmentsToo) {
  using Inner = typename TypeParam::Inner;
  World<Inner> world(this->options());
  Connection<Inner> exchange(world, this->tunnel_udp);
  exchange.from_client(UdpFields{.payload = 60});
  const std::size_t server = world.direct_server();
  for (const std::size_t payload : {0U, 1U, 1'000U}) {
    exchange.from_client(UdpFields{.payload = payload});
    EXPECT_EQ(world.direct_server(), server);
  }
  EXPECT_GT(world.fast(), 0U);
  Frame first = test::udp(exchange.client_side, {.payload = 8});
  packet::PacketView view = first.parse();
  auto path = world.balancer().template path_of<Inner>(exchange.client_side, view, {});
  Frame later = test::udp(exchange.client_side, {.payload = 100});
  EXPECT_EQ(
      text(world.through_room(
          later, 0, [&](packet::PacketView& fragment) { return world.balancer().forward_later(fragment, path); })),
      "forward");
  EXPECT_THAT(world.outer(), SizeIs(this->overhead));
  EXPECT_EQ(world.direct_server(), server);
}

TYPED_TEST(Tunnel, AServerWithoutAWayIsNamed) {
  World<typename TypeParam::Inner> world(this->options());
  world.snapshot().routes.clear();
  Frame frame = test::tcp(world.to_service(this->tunnel_tcp), {.flags = syn});
  EXPECT_EQ(text(world.receive(frame)), "drop no_route");
}

}  // namespace
}  // namespace steelyard::l4

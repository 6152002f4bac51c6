// ICMP errors about packets of flows: each reaches who sent the packet, from whom it was sent to, and quotes it as it
// was sent.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using test::Bytes;

template <class Family>
class IcmpErrors : public BalancerTest<Family> {
 protected:
  using Address = typename Family::Address;

  static Address router() { return test::address<Family>(Family::is_v6 ? "2001:db8:f::1" : "203.0.113.1"); }

  // What a router says of a packet that it got: it does not fit. Quotes `octets` of it, all of them at most.
  static Frame too_big(Frame packet, std::size_t octets = 1'000, Bytes options = {}) {
    Bytes message{Family::is_v6 ? std::uint8_t{2} : std::uint8_t{3},
                  Family::is_v6 ? std::uint8_t{0} : std::uint8_t{4},
                  0,
                  0,
                  0,
                  0,
                  0x05,
                  0x00};
    const auto quoted = packet.l3();
    test::append(message, quoted.first(std::min(octets, quoted.size())));
    Frame frame = test::ip<Family>(router(), packet.parse().template source<Family>(),
                                   Family::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp, message,
                                   {.options = std::move(options)});
    frame.fix_checksums();
    return frame;
  }
  // The quoted packet as a frame of its own.
  static Frame quote_of(Frame error) {
    const auto in_front = error.bytes.size() - error.l4().size() + 8 - 14;
    error.bytes.erase(error.bytes.begin() + 14, error.bytes.begin() + 14 + static_cast<std::ptrdiff_t>(in_front));
    return error;
  }
  // `sent` became `seen` on its way through; the error about it is what `sent`'s sender gets.
  static void expect_translated(World<Family>& world, Frame sent, const Frame& seen, const Address& from,
                                std::size_t octets = 1'000) {
    Frame error = too_big(seen, octets);
    ASSERT_EQ(text(world.receive(error)), "forward");
    const auto view = error.parse();
    EXPECT_TRUE(error.checksums_right());
    EXPECT_EQ(view.template destination<Family>(), sent.parse().template source<Family>());
    EXPECT_EQ(view.template source<Family>(), from);
    EXPECT_EQ(test::get32(error.l4(), 4), 0x500U) << "the MTU";
    Frame quote = quote_of(error);
    sent.l3()[Family::ttl_offset] -= 1;  // it was quoted after we had passed it on
    sent.fix_checksums();
    sent.bytes.resize(std::min(sent.bytes.size(), 14 + octets));
    EXPECT_EQ(quote.bytes.size(), sent.bytes.size());
    EXPECT_TRUE(std::ranges::equal(quote.l3(), sent.l3()));
  }
};
TYPED_TEST_SUITE(IcmpErrors, Families);

TYPED_TEST(IcmpErrors, AnErrorAboutAClientsPacketReachesTheClientAsIfFromTheService) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open();
    for (const std::size_t octets : {std::size_t{1'000}, TypeParam::header_size + 8, TypeParam::header_size + 19}) {
      const Frame sent =
          test::tcp(connection.client_side,
                    {.sequence = connection.client_next, .acknowledgment = connection.server_next, .payload = 100});
      const Frame seen = connection.client_data(100);
      this->expect_translated(world, sent, seen, World<TypeParam>::vip(), octets);
    }
    EXPECT_EQ(world.counters().errors_translated.get(), 3U);
    connection.client_data(1);
  }
}

// The client has not sent it: for the client it is its first byte that did not get through.
TYPED_TEST(IcmpErrors, AnErrorAboutAHeaderOfOursIsOneAboutTheClientsFirstByte) {
  World<TypeParam> world;
  world.listener(this->fullnat_tcp).client_address = service::ClientAddress::proxy_v2;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  connection.open({1'000});
  const auto sent = world.sent();
  ASSERT_EQ(sent.size(), 1U);
  Frame error = this->too_big(sent[0]);
  ASSERT_EQ(text(world.receive(error)), "forward");
  EXPECT_EQ(this->quote_of(error).sequence(), Sequence{1'001});
  const Frame seen = connection.client_data(100);
  Frame other = this->too_big(seen);
  ASSERT_EQ(text(world.receive(other)), "forward");
  EXPECT_EQ(this->quote_of(other).sequence(), Sequence{1'001});
}

TYPED_TEST(IcmpErrors, AnErrorAboutAServersPacketReachesTheServer) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open();
    for (const std::size_t octets : {std::size_t{1'000}, TypeParam::header_size + 8, TypeParam::header_size + 19}) {
      const Frame sent = test::tcp(connection.server_side, {.sequence = connection.server_next,
                                                            .acknowledgment = connection.client_next + connection.delta,
                                                            .payload = 100});
      const Frame seen = connection.server_data(100);
      this->expect_translated(world, sent, seen, service.mode == Mode::nat ? this->router() : World<TypeParam>::local(),
                              octets);
    }
  }
}

TYPED_TEST(IcmpErrors, DatagramsToo) {
  for (const auto& service : {this->nat_udp, this->fullnat_udp}) {
    World<TypeParam> world;
    Connection<TypeParam> exchange(world, service);
    Frame sent = test::udp(exchange.client_side, {.payload = 60});
    Frame seen = exchange.from_client(UdpFields{.payload = 60});
    this->expect_translated(world, sent, seen, World<TypeParam>::vip());
    sent = test::udp(exchange.server_side, {.payload = 60});
    seen = exchange.from_server(UdpFields{.payload = 60});
    this->expect_translated(world, sent, seen, service.mode == Mode::nat ? this->router() : World<TypeParam>::local());
  }
}

TYPED_TEST(IcmpErrors, AnErrorAboutADirectFlowsPacketReachesItsClientAsItIs) {
  for (const auto& service : {this->dr_tcp, this->dr_udp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    const Frame seen = service.protocol == Protocol::tcp ? connection.from_client({.sequence = {1'000}, .flags = syn})
                                                         : connection.from_client(UdpFields{.payload = 60});
    Frame error = this->too_big(seen);
    const Bytes quoted = this->quote_of(error).bytes;
    ASSERT_EQ(text(world.receive(error)), "forward");
    EXPECT_EQ(error.parse().template source<TypeParam>(), this->router());
    EXPECT_EQ(this->quote_of(error).bytes, quoted);
    Frame elsewhere = this->too_big(seen);
    packet::store(elsewhere.l3().data() + TypeParam::destination_offset, World<TypeParam>::client(9));
    elsewhere.fix_checksums();
    EXPECT_EQ(text(world.receive(elsewhere)), "unclaimed");
  }
}

// The answer did not pass us, but its source is the VIP, and so the error comes here.
TYPED_TEST(IcmpErrors, AnErrorAboutAnAnswerThatPassedUsByReachesItsServerAsItIs) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  connection.from_client({.sequence = {1'000}, .flags = syn});
  const std::size_t server = world.direct_server();
  const Frame answer = test::tcp(connection.client_side.reversed(), {.sequence = {700'001}, .payload = 1'000});
  Frame error = this->too_big(answer);
  const Bytes quoted = this->quote_of(error).bytes;
  ASSERT_EQ(text(world.receive(error)), "forward");
  EXPECT_EQ(world.direct_server(), server);
  EXPECT_EQ(error.parse().template destination<TypeParam>(), World<TypeParam>::vip());
  EXPECT_EQ(this->quote_of(error).bytes, quoted);
}

TYPED_TEST(IcmpErrors, AnErrorWithForgedAddressesGoesNowhere) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  const Frame to_server = connection.client_data(100);
  Frame elsewhere = this->too_big(to_server);
  packet::store(elsewhere.l3().data() + TypeParam::destination_offset, World<TypeParam>::vip());
  elsewhere.fix_checksums();
  EXPECT_EQ(text(world.receive(elsewhere)), "unclaimed");
  const Frame to_client = connection.server_data(100);
  for (const auto& source :
       {World<TypeParam>::server(connection.server()), World<TypeParam>::vip(), World<TypeParam>::own()}) {
    Frame forged = this->too_big(to_client);
    packet::store(forged.l3().data() + TypeParam::source_offset, source);
    forged.fix_checksums();
    if (forged.parse().kind == packet::PacketKind::icmp) {
      EXPECT_EQ(text(world.receive(forged)), "drop ip_source_bad");
    }
  }
}

TYPED_TEST(IcmpErrors, AnErrorThatIsNotAboutAFlowOfOursGoesNowhere) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  const Frame seen = connection.client_data(100);
  const auto verdict = [&](Frame error) { return text(world.receive(error)); };
  Frame wrong_sum = this->too_big(seen);
  wrong_sum.l4()[6] ^= 1;
  EXPECT_EQ(verdict(wrong_sum), "unclaimed");
  EXPECT_EQ(verdict(this->too_big(seen, TypeParam::header_size + 7)), "unclaimed");
  Frame stranger = seen;
  stranger.l4()[1] ^= 0x55;  // another port of the client
  EXPECT_EQ(verdict(this->too_big(stranger)), "drop no_flow");
  Frame elsewhere = seen;
  elsewhere.l4()[2] ^= 0x55;  // not a server's port
  EXPECT_EQ(verdict(this->too_big(elsewhere)), "unclaimed");
}

TYPED_TEST(IcmpErrors, OnTwoWorkersTheFlowsOwnerTranslates) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp, this->nat_udp, this->fullnat_udp, this->dr_tcp}) {
    World<TypeParam> world({.workers = 2});
    for (std::uint16_t port = 40'000; port < 40'016; ++port) {
      Frame seen = service.protocol == Protocol::tcp
                       ? test::tcp(World<TypeParam>::to_service(service, 1, port), {.flags = syn})
                       : test::udp(World<TypeParam>::to_service(service, 1, port), {.payload = 8});
      ASSERT_EQ(text(world.deliver(seen, 0)), "forward");
      for (std::size_t worker = 0; worker < 2; ++worker) {
        Frame error = this->too_big(seen);
        EXPECT_EQ(text(world.deliver(error, worker)), "forward");
        EXPECT_EQ(error.parse().template destination<TypeParam>(), World<TypeParam>::client(1));
      }
    }
  }
}

}  // namespace
}  // namespace steelyard::l4

// Telling a server of full NAT who its client is by a PROXY header: what the server gets is the header and then the
// client's bytes, and no number says anything about the header to the client.
#include "dataplane/l4/proxy_header.h"

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using service::ClientAddress;
using test::Bytes;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class ProxyHeader : public BalancerTest<Family> {
 protected:
  static constexpr auto service = BalancerTest<Family>::fullnat_tcp;
  static constexpr std::uint32_t size = proxy_header_size<Family>;
  using TestConnection = Connection<Family>;

  ProxyHeader() { world.listener(service).client_address = ClientAddress::proxy_v2; }

  // The handshake; the header is what the server gets beside the last acknowledgment.
  Frame open(TestConnection& connection) {
    connection.send_syn();
    connection.send_syn_ack();
    connection.send_ack();
    return the_header();
  }
  Frame the_header() {
    auto sent = world.sent();
    EXPECT_THAT(sent, SizeIs(1));
    return sent.empty() ? Frame{Bytes(200)} : sent.front();
  }
  // The server has taken the header; the delta of the connection is what it is from now on.
  static void acknowledge(TestConnection& connection) {
    connection.delta += size;
    connection.from_server(
        {.sequence = connection.server_next, .acknowledgment = connection.client_next + connection.delta});
  }
  static Bytes payload(Frame& frame) {
    const auto segment = frame.l4();
    const std::size_t header = std::size_t{segment[12]} >> 4U << 2U;
    return {segment.begin() + static_cast<std::ptrdiff_t>(header), segment.end()};
  }
  static std::uint16_t window(Frame& frame) { return test::get16(frame.l4(), 14); }
  [[nodiscard]] FlowState state() {
    const auto flows = world.flows();
    return flows.size() == 1 ? flows[0].state : FlowState::free;
  }

  World<Family> world;
};
TYPED_TEST_SUITE(ProxyHeader, Families);

TYPED_TEST(ProxyHeader, ItNamesTheClientAndTheVip) {
  Connection<TypeParam> connection(this->world, this->service, 1, 40'000);
  Frame header = this->open(connection);
  Bytes expected{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21};
  expected.push_back(TypeParam::is_v6 ? 0x21 : 0x11);
  expected.push_back(0);
  expected.push_back(TypeParam::is_v6 ? 36 : 12);
  test::append(expected, World<TypeParam>::client(1).bytes());
  test::append(expected, World<TypeParam>::vip().bytes());
  test::append(expected, Bytes{40'000 >> 8U, 40'000 & 0xffU, 0, 81});
  EXPECT_EQ(this->payload(header), expected);
  EXPECT_EQ(header.parse().template tuple<TypeParam>(), connection.server_side.reversed());
  EXPECT_EQ(header.flags(), psh | ack);
}

TYPED_TEST(ProxyHeader, ItStandsBeforeTheClientsFirstByte) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn({1'000});
  connection.send_syn_ack();
  Frame third = connection.send_ack();
  Frame header = this->the_header();
  EXPECT_EQ(header.sequence(), Sequence{1'001} + connection.delta);
  EXPECT_EQ(header.acknowledgment(), Sequence{700'001});
  EXPECT_EQ(this->window(header), this->window(third));
  EXPECT_EQ(third.sequence(), Sequence{1'001} + connection.delta + this->size);
  EXPECT_EQ(connection.client_data(50).sequence(), Sequence{1'001} + connection.delta + this->size);
  EXPECT_EQ(this->state(), FlowState::header_sent);
}

TYPED_TEST(ProxyHeader, AnAcknowledgmentOfAllOfItMakesTheConnectionAFastOne) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  this->acknowledge(connection);
  EXPECT_EQ(this->state(), FlowState::established);
  const std::size_t before = this->world.fast();
  EXPECT_EQ(connection.client_data(100).sequence(), Sequence{1'001} + connection.delta);
  EXPECT_EQ(connection.server_data(100).acknowledgment(), connection.client_next);
  EXPECT_EQ(this->world.fast(), before + 2);
  this->world.pass(60s);
  EXPECT_THAT(this->world.sent(), IsEmpty());
}

// What the server says before it has the whole header: a retransmitted SYN-ACK, a greeting of a server that speaks
// first, a part of the header.
TYPED_TEST(ProxyHeader, AnAcknowledgmentOfLessIsOneOfTheSyn) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  const Sequence begin = connection.client_next + connection.delta;
  for (const std::uint32_t part : {0U, 1U, this->size / 2, this->size - 1}) {
    Frame seen =
        connection.from_server({.sequence = connection.server_next, .acknowledgment = begin + part, .payload = 10});
    EXPECT_EQ(seen.acknowledgment(), Sequence{1'001}) << part;
    EXPECT_EQ(this->window(seen), 0xfaf0 - (this->size - part)) << part;
    EXPECT_EQ(this->state(), FlowState::header_sent);
  }
  Frame again = connection.from_server({.sequence = {700'000}, .acknowledgment = begin, .flags = syn | ack});
  EXPECT_EQ(again.acknowledgment(), Sequence{1'001});
  Frame before = connection.from_server({.sequence = connection.server_next, .acknowledgment = begin - 5});
  EXPECT_EQ(before.acknowledgment(), Sequence{1'001});
}

TYPED_TEST(ProxyHeader, AnAcknowledgmentOfWhatWasNeverSentIsNotOne) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  connection.from_server({.sequence = connection.server_next,
                          .acknowledgment = connection.client_next + connection.delta + this->size + 1});
  EXPECT_EQ(this->state(), FlowState::header_sent);
}

TYPED_TEST(ProxyHeader, TheClientSendsNoMoreThanTheServersWindowHoldsBehindIt) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  Frame seen = connection.send_syn_ack();
  EXPECT_EQ(this->window(seen), 0xfaf0 - this->size);
}

TYPED_TEST(ProxyHeader, SackBlocksBesideItAreHidden) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  connection.client_data(100);
  const Sequence begin = Sequence{1'001} + connection.delta;
  Bytes option{1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0};
  test::put32(option, 4, (begin + this->size).value);
  test::put32(option, 8, (begin + this->size + 100).value);
  Frame seen = connection.from_server({.sequence = connection.server_next, .acknowledgment = begin, .options = option});
  EXPECT_THAT(seen.l4().subspan(20, 12), testing::Each(1));
}

TYPED_TEST(ProxyHeader, DataOfTheThirdSegmentComesBehindIt) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  Frame data = connection.client_data(70);
  EXPECT_EQ(this->the_header().sequence(), Sequence{1'001} + connection.delta);
  EXPECT_EQ(data.sequence(), Sequence{1'001} + connection.delta + this->size);
}

// The first segment to arrive may be a later one: the header's place is the server's word.
TYPED_TEST(ProxyHeader, ItsPlaceDoesNotDependOnTheSegmentThatComesFirst) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  connection.client_next = connection.client_next + 1'460;
  Frame data = connection.client_data(70);
  EXPECT_EQ(this->the_header().sequence(), Sequence{1'001} + connection.delta);
  EXPECT_EQ(data.sequence(), Sequence{2'461} + connection.delta + this->size);
}

TYPED_TEST(ProxyHeader, ASynKeepsNoDataThatWouldComeBeforeIt) {
  Connection<TypeParam> connection(this->world, this->service);
  const Bytes options{2, 4, 5, 180, 34, 6, 1, 2, 3, 4, 254, 4, 0xf9, 0x89, 8, 10,
                      1, 2, 3, 4,   0,  0, 0, 0, 1, 1, 30,  4, 1,    0,    1, 1};
  for (int attempt = 0; attempt < 2; ++attempt) {
    Frame seen = connection.from_client({.sequence = {1'000}, .flags = syn, .options = options, .payload = 33});
    EXPECT_THAT(this->payload(seen), IsEmpty());
    Bytes expected(options.size(), 1);
    std::copy_n(options.begin(), 4, expected.begin());
    EXPECT_TRUE(std::ranges::equal(seen.l4().subspan(20), expected));
    connection.delta = packet::distance({1'000}, seen.sequence());
  }
  connection.client_next = {1'001};
  EXPECT_EQ(connection.send_syn_ack().acknowledgment(), Sequence{1'001});
  EXPECT_EQ(connection.client_data(33).sequence(), Sequence{1'001} + connection.delta + this->size);
}

// What stands where a lost header should would pass for it.
TYPED_TEST(ProxyHeader, AClientCannotWriteInItsPlace) {
  const std::string refused = "drop precedes_proxy_header";
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  const Sequence begin = Sequence{1'001} - this->size;
  EXPECT_EQ(connection.try_client({.sequence = begin, .acknowledgment = connection.server_next, .payload = 60}),
            refused);
  EXPECT_EQ(this->the_header().sequence(), Sequence{1'001} + connection.delta);
  for (const Sequence sequence : {begin, Sequence{1'000}}) {
    for (const std::size_t payload : {std::size_t{0}, std::size_t{60}}) {
      EXPECT_EQ(
          connection.try_client({.sequence = sequence, .acknowledgment = connection.server_next, .payload = payload}),
          refused);
    }
  }
  EXPECT_EQ(connection.try_client({.sequence = {1'000}, .flags = syn, .payload = 60}), refused);
  EXPECT_EQ(connection.client_data(60).sequence(), Sequence{1'001} + connection.delta + this->size);
}

// A server with SYN cookies answers each SYN with another number, and takes an acknowledgment of any of them.
TYPED_TEST(ProxyHeader, NothingPassesBeforeTheHandshakeIsKnownToBeComplete) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  for (const Sequence acknowledgment : {Sequence{0x3000'0000}, Sequence{700'000}}) {
    EXPECT_EQ(connection.try_client({.sequence = {1'001}, .acknowledgment = acknowledgment, .payload = 60}),
              "drop precedes_proxy_header");
  }
  EXPECT_THAT(this->world.sent(), IsEmpty());
  connection.send_ack();
  EXPECT_THAT(this->world.sent(), SizeIs(1));
}

TYPED_TEST(ProxyHeader, AClientsResetEndsAServerThatLacksIt) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  Frame seen = connection.from_client({.sequence = {1'001}, .flags = rst});
  EXPECT_EQ(seen.sequence(), Sequence{1'001} + connection.delta + this->size);
  auto sent = this->world.sent();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].flags(), rst);
  EXPECT_EQ(sent[0].sequence(), Sequence{1'001} + connection.delta);
  EXPECT_EQ(sent[0].parse().template tuple<TypeParam>(), connection.server_side.reversed());
}

TYPED_TEST(ProxyHeader, AResetWithANumberOfItIsNone) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  connection.from_client({.sequence = {1'000}, .flags = rst});
  EXPECT_EQ(this->state(), FlowState::header_sent);
  EXPECT_THAT(this->world.sent(), IsEmpty());
}

TYPED_TEST(ProxyHeader, ASilentServerGetsItAgainAndAgainAndThenBothAreReset) {
  Connection<TypeParam> connection(this->world, this->service);
  Frame first = this->open(connection);
  connection.client_data(50);
  std::vector<std::chrono::milliseconds> repeated;
  for (std::chrono::milliseconds waited{250}; waited < 15'750ms; waited += 250ms) {
    this->world.pass(250ms);
    for (Frame& frame : this->world.sent()) {
      repeated.push_back(waited);
      EXPECT_EQ(this->payload(frame), this->payload(first));
      EXPECT_EQ(frame.sequence(), first.sequence());
    }
    connection.send_ack();  // a client that keeps asking changes nothing
  }
  EXPECT_THAT(repeated, ElementsAre(250ms, 750ms, 1'750ms, 3'750ms, 7'750ms));
  this->world.pass(250ms);
  auto resets = this->world.sent();
  ASSERT_THAT(resets, SizeIs(2));
  EXPECT_EQ(resets[0].sequence(), Sequence{1'051} + connection.delta + this->size);
  EXPECT_EQ(resets[0].acknowledgment(), Sequence{700'001});
  EXPECT_EQ(resets[1].sequence(), Sequence{700'001});
  EXPECT_EQ(resets[1].acknowledgment(), Sequence{1'051});
  EXPECT_THAT(this->world.flows(), IsEmpty());
  EXPECT_EQ(this->world.counters().proxy_headers_sent.get(), 1U);
  EXPECT_EQ(this->world.counters().proxy_headers_repeated.get(), 5U);
  EXPECT_EQ(this->world.counters().proxy_headers_unanswered.get(), 1U);
}

TYPED_TEST(ProxyHeader, ALateAcknowledgmentEndsTheRepeating) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  this->world.pass(1s);
  EXPECT_THAT(this->world.sent(), SizeIs(2));
  this->acknowledge(connection);
  this->world.pass(60s);
  EXPECT_THAT(this->world.sent(), IsEmpty());
  EXPECT_EQ(this->state(), FlowState::established);
}

// A repeated header acknowledges what the client has acknowledged meanwhile.
TYPED_TEST(ProxyHeader, ARepeatedOneIsUpToDate) {
  Connection<TypeParam> connection(this->world, this->service);
  this->open(connection);
  connection.from_server(
      {.sequence = connection.server_next, .acknowledgment = connection.client_next + connection.delta, .payload = 40});
  connection.server_next = connection.server_next + 40;
  connection.send_ack();
  this->world.pass(250ms);
  EXPECT_EQ(this->the_header().acknowledgment(), Sequence{700'041});
}

TYPED_TEST(ProxyHeader, WhoClosesBeforeItIsAcknowledgedHasClosedAfterwards) {
  for (const auto& [client, server, wanted] :
       {std::tuple{true, false, FlowState::half_closed}, std::tuple{false, true, FlowState::half_closed},
        std::tuple{true, true, FlowState::closing}}) {
    World<TypeParam> other;
    other.listener(this->service).client_address = ClientAddress::proxy_v2;
    Connection<TypeParam> connection(other, this->service);
    connection.open();
    if (client) {
      connection.client_data(10, fin | ack);
    }
    if (server) {
      connection.from_server({.sequence = connection.server_next,
                              .acknowledgment = Sequence{1'001} + connection.delta,
                              .flags = fin | ack});
      connection.server_next = connection.server_next + 1;
    }
    ASSERT_EQ(other.flows()[0].state, FlowState::header_sent);
    this->acknowledge(connection);
    EXPECT_EQ(other.flows()[0].state, wanted);
    if (!client) {
      connection.client_data(0, fin | ack);
    }
    if (!server) {
      connection.server_data(0, fin | ack);
    }
    connection.server_data(0);
    connection.client_data(0);
    EXPECT_EQ(other.flows()[0].state, FlowState::lingering);
    EXPECT_EQ(other.active(), 0U);
  }
}

TYPED_TEST(ProxyHeader, AThirdSegmentThatClosesIsRemembered) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  connection.client_data(5, fin | ack);
  this->acknowledge(connection);
  EXPECT_EQ(this->state(), FlowState::half_closed);
}

TYPED_TEST(ProxyHeader, AResetOfEitherSideEndsItsRepeating) {
  for (const Side side : {Side::client, Side::server}) {
    World<TypeParam> other;
    other.listener(this->service).client_address = ClientAddress::proxy_v2;
    Connection<TypeParam> connection(other, this->service);
    connection.open();
    if (side == Side::client) {
      connection.from_client({.sequence = connection.client_next, .flags = rst});
    } else {
      Frame seen = connection.from_server({.sequence = connection.server_next,
                                           .acknowledgment = connection.client_next + connection.delta,
                                           .flags = rst | ack});
      EXPECT_EQ(seen.acknowledgment(), Sequence{1'001});
    }
    EXPECT_EQ(other.flows()[0].state, FlowState::lingering);
    static_cast<void>(other.sent());
    other.pass(20s);
    EXPECT_THAT(other.sent(), IsEmpty());
    EXPECT_EQ(other.active(), 0U);
  }
}

TYPED_TEST(ProxyHeader, ARunningConnectionKeepsWhatItBeganWith) {
  Connection<TypeParam> with(this->world, this->service, 1);
  with.send_syn();
  this->world.listener(this->service).client_address = ClientAddress::none;
  Connection<TypeParam> without(this->world, this->service, 2);
  without.send_syn();
  this->world.listener(this->service).client_address = ClientAddress::proxy_v2;
  without.send_syn_ack();
  without.send_ack();
  EXPECT_THAT(this->world.sent(), IsEmpty());
  with.send_syn_ack();
  with.send_ack();
  EXPECT_THAT(this->world.sent(), SizeIs(1));
}

TYPED_TEST(ProxyHeader, ItsSynNeverHasTimestamps) {
  this->world.listener(this->service).strip_timestamps = true;
  Connection<TypeParam> connection(this->world, this->service);
  const Bytes options{8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 1};
  for (int attempt = 0; attempt < 2; ++attempt) {
    Frame seen = connection.from_client({.sequence = {1'000}, .flags = syn, .options = options});
    EXPECT_THAT(seen.l4().subspan(20), testing::Each(1));
    this->world.listener(this->service).strip_timestamps = false;  // a reload between the first and the second SYN
  }
}

// The server of the next connection on that port has seen the header's bytes, too.
TYPED_TEST(ProxyHeader, TheNextConnectionOfThePortBeginsBehindAllThatItsServerHasSeen) {
  World<TypeParam> other({.servers = 1, .local_ports = {2'000, 2'000}});
  other.listener(this->service).client_address = ClientAddress::proxy_v2;
  Connection<TypeParam> first(other, this->service, 1);
  first.open({0x7fff'0000});
  this->acknowledge(first);
  const Sequence end = first.client_next + 10'000 + first.delta;
  first.client_data(10'000);
  first.close();
  Connection<TypeParam> second(other, this->service, 2);
  EXPECT_TRUE(packet::after(second.send_syn({5}).sequence(), end));
}

TYPED_TEST(ProxyHeader, OthersGetNone) {
  for (const auto& other : {this->nat_tcp, this->dr_tcp}) {
    Connection<TypeParam> connection(this->world, other, 3);
    connection.from_client({.sequence = {1'000}, .flags = syn, .payload = 5});
  }
  Connection<TypeParam> datagrams(this->world, this->fullnat_udp);
  datagrams.from_client(UdpFields{.payload = 5});
  EXPECT_THAT(this->world.sent(), IsEmpty());
}

}  // namespace
}  // namespace steelyard::l4

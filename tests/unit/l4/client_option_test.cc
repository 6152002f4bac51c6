// Telling a server of full NAT who its client is by a TCP option, and that nobody but us does.
#include "dataplane/l4/client_option.h"

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using service::ClientAddress;
using test::Bytes;
using testing::ElementsAre;

constexpr std::size_t first_option = 20;

template <class Family>
class ClientOption : public BalancerTest<Family> {
 protected:
  static constexpr auto service = BalancerTest<Family>::fullnat_tcp;
  static constexpr std::uint8_t size = client_option_size<Family>;

  ClientOption() { world.listener(service).client_address = ClientAddress::toa; }

  static Bytes options(Frame& frame) {
    const auto segment = frame.l4();
    const std::size_t header = std::size_t{segment[12]} >> 4U << 2U;
    return {segment.begin() + first_option, segment.begin() + static_cast<std::ptrdiff_t>(header)};
  }
  // Of client 1 at port 40,000.
  static Bytes expected(const Bytes& others = {}) {
    Bytes option{254, size, 40'000 >> 8U, 40'000 & 0xffU};
    test::append(option, World<Family>::client(1).bytes());
    test::append(option, others);
    return option;
  }
  [[nodiscard]] FlowState state() {
    const auto flows = world.flows();
    return flows.size() == 1 ? flows[0].state : FlowState::free;
  }

  World<Family> world;
};
TYPED_TEST_SUITE(ClientOption, Families);

TYPED_TEST(ClientOption, TheHandshakesLastSegmentAndTheFirstDataHaveIt) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  Frame third = connection.send_ack();
  EXPECT_EQ(this->options(third), this->expected());
  Frame data = connection.client_data(50);
  EXPECT_EQ(this->options(data), this->expected());
  EXPECT_EQ(data.bytes.size(), 14 + TypeParam::header_size + 20 + this->size + 50);
  EXPECT_EQ(data.bytes.back(), 'a' + 49 % 26);
  EXPECT_EQ(data.sequence(), Sequence{1'001} + connection.delta);
  EXPECT_EQ(this->world.counters().client_options_sent.get(), 2U);
}

TYPED_TEST(ClientOption, DataInTheHandshakesLastSegmentIsTheFirst) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  Frame data = connection.client_data(70);
  EXPECT_EQ(this->options(data), this->expected());
}

TYPED_TEST(ClientOption, RepetitionsHaveItUntilTheServerAcknowledgesData) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.open();
  connection.client_data(50);
  Frame later = connection.client_data(50);
  EXPECT_EQ(this->options(later), Bytes{});
  for (int repetition = 0; repetition < 2; ++repetition) {
    Frame again =
        connection.from_client({.sequence = {1'001}, .acknowledgment = connection.server_next, .payload = 50});
    EXPECT_EQ(this->options(again), this->expected());
    connection.from_server({.sequence = connection.server_next, .acknowledgment = Sequence{1'001} + connection.delta});
  }
  EXPECT_EQ(this->state(), FlowState::option_sent);
  connection.from_server({.sequence = connection.server_next, .acknowledgment = Sequence{1'051} + connection.delta});
  EXPECT_EQ(this->state(), FlowState::established);
  const std::size_t before = this->world.fast();
  Frame late = connection.from_client({.sequence = {1'001}, .acknowledgment = connection.server_next, .payload = 50});
  EXPECT_EQ(this->options(late), Bytes{});
  EXPECT_EQ(this->world.fast(), before + 1);
}

TYPED_TEST(ClientOption, ItStandsBeforeTheClientsOwnOptions) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  const Bytes own{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
  Frame third = connection.from_client(
      {.sequence = connection.client_next, .acknowledgment = connection.server_next, .options = own});
  EXPECT_EQ(this->options(third), this->expected(own));
}

TYPED_TEST(ClientOption, AHeaderWithoutRoomGoesWithoutIt) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.open();
  const std::size_t most = 40U - this->size;
  for (const std::size_t length : {most, most + 4}) {
    Frame seen = connection.from_client({.sequence = connection.client_next,
                                         .acknowledgment = connection.server_next,
                                         .options = Bytes(length, 1),
                                         .payload = 10});
    EXPECT_EQ(this->options(seen), length == most ? this->expected(Bytes(length, 1)) : Bytes(length, 1));
  }
  EXPECT_EQ(this->world.counters().client_options_no_room.get(), 1U);
}

TYPED_TEST(ClientOption, ASegmentThatFillsTheLinkGoesWithoutIt) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.open();
  const std::size_t most = 1'500 - TypeParam::header_size - 20;
  for (const std::size_t payload : {most - this->size, most - this->size + 1}) {
    Frame seen = connection.from_client(
        {.sequence = connection.client_next, .acknowledgment = connection.server_next, .payload = payload});
    EXPECT_EQ(this->options(seen).empty(), payload > most - this->size);
    EXPECT_LE(seen.bytes.size(), 14U + 1'500);
  }
  EXPECT_EQ(this->world.counters().client_options_no_room.get(), 1U);
}

TYPED_TEST(ClientOption, TheClientLearnsASegmentSizeThatLeavesRoomForIt) {
  for (const auto how : {ClientAddress::toa, ClientAddress::none}) {
    World<TypeParam> other;
    other.listener(this->service).client_address = how;
    Connection<TypeParam> connection(other, this->service);
    connection.send_syn();
    Frame seen = connection.from_server({.sequence = {700'000},
                                         .acknowledgment = connection.client_next + connection.delta,
                                         .flags = syn | ack,
                                         .options = {2, 4, 1'440 >> 8U, 1'440 & 0xff}});
    EXPECT_EQ(test::get16(seen.l4(), 22), how == ClientAddress::toa ? 1'440 - this->size : 1'440);
  }
}

TYPED_TEST(ClientOption, ASynAndAResetHaveNone) {
  Connection<TypeParam> connection(this->world, this->service);
  Frame opening = connection.send_syn();
  EXPECT_EQ(this->options(opening), Bytes{});
  connection.send_syn_ack();
  connection.send_ack();
  Frame end = connection.from_client({.sequence = connection.client_next, .flags = rst});
  EXPECT_EQ(this->options(end), Bytes{});
}

TYPED_TEST(ClientOption, WhoClosesBeforeItIsAcknowledgedHasClosedAfterwards) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.open();
  Frame last = connection.client_data(10, fin | ack);
  EXPECT_EQ(this->options(last), this->expected());
  EXPECT_EQ(this->state(), FlowState::option_sent);
  connection.server_data(0);
  EXPECT_EQ(this->state(), FlowState::half_closed);
  connection.server_data(0, fin | ack);
  connection.client_data(0);
  EXPECT_EQ(this->state(), FlowState::lingering);
}

// Such connections come and go quickly, and each has a port: it must not wait for a timeout.
TYPED_TEST(ClientOption, AClientThatOnlyListenedAndClosedIsOverWithTheLastAcknowledgment) {
  for (const auto how : {ClientAddress::toa, ClientAddress::proxy_v2}) {
    World<TypeParam> other;
    other.listener(this->service).client_address = how;
    Connection<TypeParam> connection(other, this->service);
    connection.open();
    connection.server_data(20, fin | ack);
    connection.client_data(0);
    connection.client_data(0, fin | ack);
    connection.delta += how == ClientAddress::proxy_v2 ? proxy_header_size<TypeParam> : 0;
    connection.server_data(0);
    EXPECT_THAT(other.flows(), ElementsAre(testing::Field(&FlowRecord::state, FlowState::lingering)));
    EXPECT_EQ(other.active(), 0U);
  }
}

TYPED_TEST(ClientOption, ASilentConnectionIsAsLongLivedAsAnyOther) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.open();
  this->world.pass(899s);
  EXPECT_EQ(this->state(), FlowState::option_sent);
  EXPECT_THAT(this->world.sent(), testing::IsEmpty());
  this->world.pass(2s);
  EXPECT_EQ(this->state(), FlowState::free);
  EXPECT_THAT(this->world.sent(), testing::SizeIs(2));
}

// What a client says of itself in that option no server gets to see, whatever else is in the header.
TYPED_TEST(ClientOption, AClientsOwnIsErased) {
  for (const auto& to : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> other;
    Connection<TypeParam> connection(other, to);
    const Bytes forged{2, 4, 5, 180, 254, 8, 0, 80, 10, 1, 2, 3, 1, 254, 3, 9};
    Bytes erased(forged.size(), 1);
    std::copy_n(forged.begin(), 4, erased.begin());
    const auto sent = [&](TcpFields fields) {
      fields.options = forged;
      return connection.from_client(fields);
    };
    Frame opening = sent({.sequence = {1'000}, .flags = syn});
    EXPECT_EQ(this->options(opening), erased);
    connection.client_next = {1'001};
    connection.delta = packet::distance({1'000}, opening.sequence());
    connection.send_syn_ack();
    Frame third = sent({.sequence = {1'001}, .acknowledgment = connection.server_next});
    EXPECT_EQ(this->options(third), erased);
    const std::size_t before = other.fast();
    Frame data = sent({.sequence = {1'001}, .acknowledgment = connection.server_next, .payload = 30});
    EXPECT_EQ(this->options(data), erased);
    EXPECT_EQ(other.fast(), before + 1);
    Frame end = sent({.sequence = {1'031}, .acknowledgment = connection.server_next, .flags = fin | ack});
    EXPECT_EQ(this->options(end), erased);
  }
}

TYPED_TEST(ClientOption, AClientsOwnIsErasedBeforeOursIsWritten) {
  Connection<TypeParam> connection(this->world, this->service);
  connection.send_syn();
  connection.send_syn_ack();
  const Bytes forged{254, 8, 0, 80, 10, 1, 2, 3};
  Frame third = connection.from_client(
      {.sequence = connection.client_next, .acknowledgment = connection.server_next, .options = forged});
  EXPECT_EQ(this->options(third), this->expected(Bytes(8, 1)));
}

TYPED_TEST(ClientOption, WhatServersSayInItIsTheirs) {
  Connection<TypeParam> connection(this->world, this->nat_tcp);
  connection.open();
  const Bytes option{254, 4, 1, 2};
  Frame seen = connection.from_server(
      {.sequence = connection.server_next, .acknowledgment = connection.client_next, .options = option});
  EXPECT_EQ(this->options(seen), option);
}

}  // namespace
}  // namespace steelyard::l4

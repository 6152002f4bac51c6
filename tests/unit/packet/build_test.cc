// Packets that workers build are read back by the parser and their checksums verified by the slow one.
#include "dataplane/packet/build.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/unit/packet_builder.h"

namespace steelyard::packet {
namespace {

using test::Bytes;
using test::Frame;
using namespace tcp_flag;

template <class Family>
Tuple<Family> ends(std::uint8_t protocol = protocol_tcp) {
  if constexpr (Family::is_v6) {
    return test::tuple<Ipv6>(protocol, "2001:db8::1", 4321, "2001:db8:1::7", 80);
  } else {
    return test::tuple<Ipv4>(protocol, "192.0.2.1", 4321, "198.51.100.7", 80);
  }
}

template <class Family>
class Build : public testing::Test {
 protected:
  static Frame control(const TcpControl<Family>& segment) {
    std::array<std::uint8_t, Family::header_size + 20> room{};
    EXPECT_EQ(build_tcp_control<Family>(room, segment), room.size());
    return test::framed(room);
  }
  static Frame reset_of(Frame offending) { return control(reset_answer<Family>(offending.parse())); }
  static Frame echo(std::uint8_t type, std::uint8_t code = 0) {
    const auto tuple = ends<Family>();
    Frame frame = test::ip<Family>(tuple.source, tuple.destination, Family::is_v6 ? protocol_icmpv6 : protocol_icmp,
                                   {type, code, 0, 0, 0x12, 0x34, 0, 9, 'p', 'i', 'n', 'g', '!'}, {.ttl = 3});
    frame.fix_checksums();
    return frame;
  }
};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Build, Families);

TYPED_TEST(Build, AControlSegmentCarriesWhatItWasTold) {
  Frame frame = this->control({ends<TypeParam>(), {0xfffffff0}, {12345}, rst | ack});
  const PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.template tuple<TypeParam>(), ends<TypeParam>());
  EXPECT_EQ(view.tcp_flags, rst | ack);
  EXPECT_EQ(view.tcp_payload, 0);
  EXPECT_EQ(frame.sequence(), Sequence{0xfffffff0});
  EXPECT_EQ(frame.acknowledgment(), Sequence{12345});
  EXPECT_EQ(frame.ttl(), 64);
  EXPECT_TRUE(frame.checksums_right());
}

TYPED_TEST(Build, TheResetOfASegmentWithAckHasItsNumberAndAcknowledgesNothing) {
  Frame reset = this->reset_of(
      test::tcp(ends<TypeParam>(), {.sequence = {100}, .acknowledgment = {777}, .flags = ack | psh, .payload = 10}));
  EXPECT_EQ(reset.flags(), rst);
  EXPECT_EQ(reset.sequence(), Sequence{777});
  EXPECT_EQ(reset.acknowledgment(), Sequence{0});
  EXPECT_EQ(reset.parse().template tuple<TypeParam>(), ends<TypeParam>().reversed());
  EXPECT_TRUE(reset.checksums_right());
}

TYPED_TEST(Build, TheResetOfASynAcknowledgesItAndItsData) {
  Frame reset = this->reset_of(test::tcp(ends<TypeParam>(), {.sequence = {0xffffffff}, .flags = syn, .payload = 3}));
  EXPECT_EQ(reset.flags(), rst | ack);
  EXPECT_EQ(reset.sequence(), Sequence{0});
  EXPECT_EQ(reset.acknowledgment(), Sequence{3});
  EXPECT_TRUE(reset.checksums_right());
}

TYPED_TEST(Build, PortUnreachableQuotesTheOffendingPacket) {
  Frame offending = test::udp(ends<TypeParam>(protocol_udp), {.payload = 20});
  const PacketView view = offending.parse();
  std::array<std::uint8_t, largest_built_packet> room;
  const std::size_t length = build_port_unreachable<TypeParam>(room, view);
  ASSERT_EQ(length, TypeParam::header_size + 8 + view.l3_length);
  Frame error = test::framed(std::span(room).first(length));
  const PacketView parsed = error.parse();
  ASSERT_EQ(parsed.kind, PacketKind::icmp);
  EXPECT_EQ(parsed.template source<TypeParam>(), ends<TypeParam>().destination);
  EXPECT_EQ(parsed.template destination<TypeParam>(), ends<TypeParam>().source);
  EXPECT_EQ(error.l4()[0], TypeParam::is_v6 ? 1 : 3);
  EXPECT_EQ(error.l4()[1], TypeParam::is_v6 ? 4 : 3);
  EXPECT_TRUE(std::ranges::equal(error.l4().subspan(8), offending.l3()));
  EXPECT_TRUE(error.checksums_right());
}

TYPED_TEST(Build, PortUnreachableIsNeverLongerThanTheMinimumMtuNorThanWhatIsThere) {
  Frame offending = test::udp(ends<TypeParam>(protocol_udp), {.payload = 1'400});
  PacketView view = offending.parse();
  std::array<std::uint8_t, largest_built_packet> room;
  EXPECT_EQ(build_port_unreachable<TypeParam>(room, view), TypeParam::minimum_mtu);
  view.contiguous = 49;
  EXPECT_EQ(build_port_unreachable<TypeParam>(room, view), TypeParam::header_size + 8 + 49);
  Frame odd = test::framed(std::span(room).first(TypeParam::header_size + 8 + 49));
  EXPECT_TRUE(odd.checksums_right());
}

TYPED_TEST(Build, OnlyEchoRequestsOfTheOwnFamilyAreEchoRequests) {
  const std::uint8_t request = TypeParam::is_v6 ? 128 : 8;
  for (std::uint32_t type = 0; type < 256; ++type) {
    EXPECT_EQ(is_echo_request(this->echo(static_cast<std::uint8_t>(type)).parse()), type == request) << type;
  }
  EXPECT_FALSE(is_echo_request(this->echo(request, 1).parse()));
  EXPECT_FALSE(is_echo_request(test::tcp(ends<TypeParam>()).parse()));
}

TYPED_TEST(Build, AnEchoReplyGoesBackWithItsDataAndAFullHopLimit) {
  Frame frame = this->echo(TypeParam::is_v6 ? 128 : 8);
  const Bytes data(frame.l4().begin() + 4, frame.l4().end());
  turn_into_echo_reply<TypeParam>(frame.parse());
  const PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::icmp);
  EXPECT_EQ(view.template source<TypeParam>(), ends<TypeParam>().destination);
  EXPECT_EQ(view.template destination<TypeParam>(), ends<TypeParam>().source);
  EXPECT_EQ(frame.l4()[0], TypeParam::is_v6 ? 129 : 0);
  EXPECT_TRUE(std::ranges::equal(frame.l4().subspan(4), data));
  EXPECT_EQ(frame.ttl(), 64);
  EXPECT_TRUE(frame.checksums_right());
}

}  // namespace
}  // namespace steelyard::packet

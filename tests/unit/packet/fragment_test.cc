// What is read from fragments, and which are refused.
#include "dataplane/packet/fragment.h"

#include <gtest/gtest.h>

#include "tests/unit/fragment_builder.h"

namespace steelyard::packet {
namespace {

using test::Bytes;
using test::Frame;

template <class Family>
class Fragments : public ::testing::Test {
 protected:
  static constexpr bool v6 = Family::is_v6;
  static typename Family::Address source() { return test::address<Family>(v6 ? "2001:db8::1" : "192.0.2.1"); }
  static typename Family::Address destination() { return test::address<Family>(v6 ? "2001:db8::2" : "192.0.2.2"); }
  static Tuple<Family> ends(std::uint8_t protocol) { return {source(), destination(), 0x0102, 0x0304, protocol}; }
  static Frame piece(std::size_t length, const test::FragmentFields& fields, std::uint8_t protocol = protocol_udp) {
    return test::fragment<Family>(source(), destination(), protocol, Bytes(length, 'x'), fields);
  }
  static std::optional<Fragment> read(Frame frame) {
    const PacketView view = frame.parse();
    EXPECT_EQ(view.kind, PacketKind::fragment);
    return view.kind == PacketKind::fragment ? fragment_of<Family>(view) : std::nullopt;
  }
  // What a first fragment with the beginning of a packet's layer 4 becomes.
  static PacketView first(Frame& whole, std::size_t length) {
    const auto l4 = whole.l4();
    frame_ = test::fragment<Family>(source(), destination(), whole.protocol(),
                                    {l4.begin(), l4.begin() + static_cast<std::ptrdiff_t>(length)}, {.more = true});
    PacketView view = frame_.parse();
    EXPECT_EQ(view.kind, PacketKind::fragment);
    turn_into_first(view);
    return view;
  }
  static inline Frame frame_;
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Fragments, Families);

TYPED_TEST(Fragments, TellWhereTheirDataStand) {
  const auto middle = this->read(this->piece(1'480, {.offset = 2'960, .more = true}));
  ASSERT_TRUE(middle);
  EXPECT_EQ(middle->offset, 2'960u);
  EXPECT_EQ(middle->end(), 4'440u);
  EXPECT_TRUE(middle->more);
  EXPECT_FALSE(middle->first());
  const auto last = this->read(this->piece(13, {.offset = 1'480}));
  ASSERT_TRUE(last);
  EXPECT_EQ(last->end(), 1'493u);
  EXPECT_FALSE(last->more);
}

TYPED_TEST(Fragments, OtherThanTheLastOneAreMultiplesOfEightBytes) {
  EXPECT_FALSE(this->read(this->piece(1'479, {.offset = 0, .more = true})));
  EXPECT_TRUE(this->read(this->piece(1'479, {.offset = 8})));
}

TYPED_TEST(Fragments, AreNotEmpty) {
  EXPECT_FALSE(this->read(this->piece(0, {.offset = 8, .more = true})));
  EXPECT_FALSE(this->read(this->piece(0, {.offset = 8})));
}

TYPED_TEST(Fragments, DoNotEndBeyondTheLargestDatagram) {
  const std::size_t headers = TestFixture::v6 ? 0 : 20;  // of IPv4 count
  const std::size_t last = 65'535 - headers - 65'488;
  EXPECT_TRUE(this->read(this->piece(last, {.offset = 65'488})));
  EXPECT_FALSE(this->read(this->piece(last + 1, {.offset = 65'488})));
}

TYPED_TEST(Fragments, OfOneDatagramAreKnownByItsIdentification) {
  const auto key = [this](std::uint32_t id, std::size_t offset, std::uint8_t protocol) {
    Frame frame = this->piece(80, {.id = id, .offset = offset}, protocol);
    return datagram_of<TypeParam>(frame.parse());
  };
  EXPECT_EQ(key(7, 8, protocol_udp), key(7, 80, protocol_udp));
  EXPECT_FALSE(key(7, 8, protocol_udp) == key(8, 8, protocol_udp));
  EXPECT_EQ(key(7, 8, protocol_udp) == key(7, 8, protocol_tcp), TestFixture::v6) << "RFC 791 and RFC 8200 differ";
  if (TestFixture::v6) {
    EXPECT_FALSE(key(7, 8, protocol_udp) == key(0x10007, 8, protocol_udp));
  }
}

TYPED_TEST(Fragments, TheFirstOneIsReadLikeAWholePacket) {
  Frame udp = test::udp(this->ends(protocol_udp), {.payload = 3'000});
  const PacketView datagram = this->first(udp, 1'480);
  EXPECT_EQ(datagram.kind, PacketKind::l4);
  EXPECT_EQ(datagram.template tuple<TypeParam>(), this->ends(protocol_udp));
  Frame tcp = test::tcp(this->ends(protocol_tcp), {.options = Bytes(12, 1), .payload = 3'000});
  const PacketView segment = this->first(tcp, 1'480);
  EXPECT_EQ(segment.kind, PacketKind::l4);
  EXPECT_EQ(segment.tcp_payload, 1'480 - 32);
  EXPECT_EQ(segment.tcp_flags, tcp_flag::ack);
}

TYPED_TEST(Fragments, AFirstOneThatHidesItsHeaderIsTooSmall) {
  Frame tcp = test::tcp(this->ends(protocol_tcp), {.options = Bytes(12, 1), .payload = 3'000});
  for (const std::size_t length : {8U, 16U, 24U}) {  // ports; no flags; no options
    const PacketView view = this->first(tcp, length);
    EXPECT_EQ(view.kind, PacketKind::dropped);
    EXPECT_EQ(view.drop, DropReason::fragment_too_small);
  }
  EXPECT_EQ(this->first(tcp, 32).kind, PacketKind::l4);
}

TYPED_TEST(Fragments, AFirstOneWithAnImpossibleHeaderIsDroppedLikeAWholePacket) {
  Frame flags = test::tcp(this->ends(protocol_tcp), {.flags = tcp_flag::syn | tcp_flag::fin, .payload = 100});
  EXPECT_EQ(this->first(flags, 40).drop, DropReason::tcp_flags_impossible);
  Frame length = test::tcp(this->ends(protocol_tcp), {.payload = 100});
  length.l4()[12] = 4 << 4;
  EXPECT_EQ(this->first(length, 40).drop, DropReason::l4_header_bad);
  Frame udp = test::udp(this->ends(protocol_udp), {.payload = 100});
  EXPECT_EQ(this->first(udp, 40).kind, PacketKind::l4);
  test::put16(udp.bytes, udp.l4_offset() + 4, 40);  // says that it ends where it does not
  EXPECT_EQ(this->first(udp, 40).drop, DropReason::l4_header_bad);
  auto portless = this->ends(protocol_udp);
  portless.source_port = 0;
  Frame zero = test::udp(portless, {.payload = 100});
  EXPECT_EQ(this->first(zero, 40).drop, DropReason::port_zero);
}

TYPED_TEST(Fragments, OfOtherProtocolsAreNoneOfLayerFour) {
  Frame frame = this->piece(80, {.more = true}, 47);
  PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::fragment);
  turn_into_first(view);
  EXPECT_EQ(view.kind, PacketKind::other_ip);
}

TYPED_TEST(Fragments, AreRenumberedWithTheirHeadersChecksum) {
  Frame frame = this->piece(80, {.id = 7, .offset = 8});
  const PacketView view = frame.parse();
  ChecksumDelta header;
  write_identification<TypeParam>(view, 0xabcd, header);
  if (!TestFixture::v6) {
    store(view.l3 + 10, header.apply(load<std::uint16_t>(view.l3 + 10)));
  }
  EXPECT_EQ(frame.parse().kind, PacketKind::fragment);
  EXPECT_EQ(test::Piece<TypeParam>::of(frame).id, TestFixture::v6 ? 0xcdab0000U : 0xcdabU);
}

const Ipv6Address source = test::address<Ipv6>("2001:db8::1");
const Ipv6Address destination = test::address<Ipv6>("2001:db8::2");

Frame with_headers(const Bytes& headers, std::uint8_t first_next, const Bytes& data) {
  return test::ip<Ipv6>(source, destination, protocol_udp, data, {.options = headers, .first_next = first_next});
}

TEST(Ipv6Fragments, OptionsMayStandBeforeAndBehindTheFragmentHeader) {
  Bytes headers{protocol_fragment,
                0,
                1,
                4,
                0,
                0,
                0,
                0,  // hop-by-hop
                protocol_destination_options,
                0,
                0,
                1,
                0,
                0,
                0,
                9,  // fragment
                protocol_udp,
                0,
                1,
                4,
                0,
                0,
                0,
                0};  // destination options
  Frame frame = with_headers(headers, 0, {0, 1, 0, 2, 1, 0, 0, 0});
  PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::fragment);
  EXPECT_EQ(fragment_of<Ipv6>(view)->length, 16u);
  turn_into_first(view);
  EXPECT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.l4, view.l3 + 64);
}

TEST(Ipv6Fragments, OptionsThatDoNotFitMakeTheFirstOneTooSmall) {
  Frame frame = with_headers({protocol_destination_options, 0, 0, 1, 0, 0, 0, 9}, protocol_fragment,
                             {protocol_udp, 9, 0, 0, 0, 0, 0, 0});
  PacketView view = frame.parse();
  turn_into_first(view);
  EXPECT_EQ(view.drop, DropReason::fragment_too_small);
}

// RFC 6946.
TEST(Ipv6Fragments, AnAtomicOneIsAWholePacket) {
  Frame udp = test::udp(Tuple<Ipv6>{source, destination, 0x0102, 0x0304, protocol_udp}, {.payload = 8});
  const auto l4 = udp.l4();
  Frame frame = with_headers({protocol_udp, 0, 0, 0, 0, 0, 0, 9}, protocol_fragment, {l4.begin(), l4.end()});
  const PacketView view = frame.parse();
  EXPECT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.l4, view.l3 + 48);
  EXPECT_EQ(view.l4_length, 16);
}

// RFC 6980.
TEST(Ipv6Fragments, NeighbourDiscoveryIsNeverInOne) {
  Frame frame = with_headers({protocol_icmpv6, 0, 0, 0, 0, 0, 0, 9}, protocol_fragment, Bytes(32, 135));
  EXPECT_EQ(frame.parse().drop, DropReason::ndp_malformed);
}

TEST(Ipv6Fragments, AHeaderThatIsCutOffIsRefused) {
  for (const std::size_t missing : {1U, 8U}) {
    Frame frame = with_headers({protocol_udp, 0, 0, 1, 0, 0, 0, 9}, protocol_fragment, {});
    test::put16(frame.bytes, 18, 8 - missing);
    frame.bytes.resize(frame.bytes.size() - missing);
    EXPECT_EQ(frame.parse().drop, DropReason::ip_header_bad);
  }
}

}  // namespace
}  // namespace steelyard::packet

// What the parser takes, and by which name it refuses everything else.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/packet_builder.h"

namespace steelyard::packet {
namespace {

using test::Bytes;
using test::Frame;
using test::IpFields;
using namespace tcp_flag;

const Tuple<Ipv4> v4 = test::tuple<Ipv4>(protocol_tcp, "192.0.2.1", 4321, "198.51.100.7", 80);
const Tuple<Ipv6> v6 = test::tuple<Ipv6>(protocol_tcp, "2001:db8::1", 4321, "2001:db8:1::7", 80);

template <class Family>
const Tuple<Family>& ends() {
  if constexpr (Family::is_v6) {
    return v6;
  } else {
    return v4;
  }
}

DropReason refusal(Frame frame) {
  const PacketView view = frame.parse();
  EXPECT_EQ(view.kind, PacketKind::dropped);
  return view.kind == PacketKind::dropped ? view.drop : DropReason::count_;
}

// An IPv4 packet with the byte at an offset of its IP header changed and its header checksum right again.
Frame with_header_byte(std::size_t offset, std::uint8_t value) {
  Frame frame = test::tcp(v4);
  frame.bytes[14 + offset] = value;
  test::put16(frame.bytes, 24, 0);
  const std::size_t header = std::clamp<std::size_t>((frame.bytes[14] & 15U) * 4U, 20, frame.bytes.size() - 14);
  test::put16(frame.bytes, 24, test::slow_checksum(frame.l3().first(header)));
  return frame;
}

template <class Family>
class ParseBothFamilies : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(ParseBothFamilies, Families);

TYPED_TEST(ParseBothFamilies, ATcpSegmentIsFullyDescribed) {
  Frame frame = test::tcp(ends<TypeParam>(), {.sequence = {7}, .flags = syn, .options = {2, 4, 5, 180}, .payload = 5});
  const PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.is_v6, TypeParam::is_v6);
  EXPECT_EQ(view.protocol, protocol_tcp);
  EXPECT_EQ(view.tcp_flags, syn);
  EXPECT_EQ(view.tcp_payload, 5);
  EXPECT_EQ(view.l4_length, 29);
  EXPECT_EQ(view.l3_length, TypeParam::header_size + 29);
  EXPECT_EQ(view.l3, frame.bytes.data() + 14);
  EXPECT_EQ(view.l4, view.l3 + TypeParam::header_size);
  EXPECT_EQ(view.template tuple<TypeParam>(), ends<TypeParam>());
}

TYPED_TEST(ParseBothFamilies, AUdpDatagramIsFullyDescribed) {
  Tuple<TypeParam> tuple = ends<TypeParam>();
  tuple.protocol = protocol_udp;
  Frame frame = test::udp(tuple, {.payload = 9});
  const PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.l4_length, 17);
  EXPECT_EQ(view.template tuple<TypeParam>(), tuple);
}

TYPED_TEST(ParseBothFamilies, EthernetPaddingBelongsToNobody) {
  Frame frame = test::tcp(ends<TypeParam>());
  frame.bytes.resize(frame.bytes.size() + 6, 0xee);
  const PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.tcp_payload, 0);
}

TYPED_TEST(ParseBothFamilies, PayloadMayLieInLaterSegmentsOfTheBufferButHeadersMayNot) {
  Frame frame = test::tcp(ends<TypeParam>(), {.options = {1, 1, 1, 1}, .payload = 100});
  const std::size_t whole = frame.bytes.size();
  const std::size_t headers = whole - 100;
  EXPECT_EQ(parse(std::span(frame.bytes).first(headers), whole, {}).kind, PacketKind::l4);
  const PacketView cut = parse(std::span(frame.bytes).first(headers - 1), whole, {});
  EXPECT_EQ(cut.drop, DropReason::l4_header_bad);
  EXPECT_EQ(parse(std::span(frame.bytes).first(headers), whole - 1, {}).drop, DropReason::ip_header_bad);
}

TYPED_TEST(ParseBothFamilies, EveryTruncationIsRefused) {
  const Frame whole = test::tcp(ends<TypeParam>(), {.options = {1, 1, 1, 1}});
  for (std::size_t size = 0; size < whole.bytes.size(); ++size) {
    const DropReason expected = size < 14 ? DropReason::frame_too_short : DropReason::ip_header_bad;
    EXPECT_EQ(refusal({{whole.bytes.begin(), whole.bytes.begin() + static_cast<std::ptrdiff_t>(size)}}), expected)
        << size;
  }
}

TYPED_TEST(ParseBothFamilies, ATcpHeaderThatDoesNotFitIsRefused) {
  for (const unsigned offset : {0x00U, 0x40U, 0x60U, 0xf0U}) {
    Frame frame = test::tcp(ends<TypeParam>());
    frame.l4()[12] = static_cast<std::uint8_t>(offset);
    EXPECT_EQ(refusal(frame), DropReason::l4_header_bad) << offset;
  }
  EXPECT_EQ(refusal(test::ip<TypeParam>(ends<TypeParam>().source, ends<TypeParam>().destination, protocol_tcp,
                                        Bytes(19, 0x50))),
            DropReason::l4_header_bad);
  EXPECT_EQ(refusal(test::ip<TypeParam>(ends<TypeParam>().source, ends<TypeParam>().destination, protocol_tcp, {})),
            DropReason::l4_header_bad);
}

TYPED_TEST(ParseBothFamilies, AUdpLengthThatDisagreesIsRefused) {
  Tuple<TypeParam> tuple = ends<TypeParam>();
  tuple.protocol = protocol_udp;
  for (const std::size_t length : {0U, 7U, 14U, 0xffffU}) {
    Frame frame = test::udp(tuple, {.payload = 5});
    test::put16(frame.bytes, frame.l4_offset() + 4, length);
    EXPECT_EQ(refusal(frame), DropReason::l4_header_bad) << length;
  }
  EXPECT_EQ(refusal(test::ip<TypeParam>(tuple.source, tuple.destination, protocol_udp, Bytes(7))),
            DropReason::l4_header_bad);
}

TYPED_TEST(ParseBothFamilies, FlagsThatNoSegmentHasAreRefusedAndAllOthersTaken) {
  for (std::uint32_t flags = 0; flags < 256; ++flags) {
    Frame frame = test::tcp(ends<TypeParam>(), {.flags = static_cast<std::uint8_t>(flags)});
    const bool is_syn = (flags & syn) != 0;
    const bool is_fin = (flags & fin) != 0;
    const bool is_rst = (flags & rst) != 0;
    const bool possible = is_syn + is_fin + is_rst <= 1 && (is_syn || is_rst || (flags & ack) != 0);
    const PacketView view = frame.parse();
    EXPECT_EQ(view.kind, possible ? PacketKind::l4 : PacketKind::dropped) << flags;
    EXPECT_TRUE(possible || view.drop == DropReason::tcp_flags_impossible) << flags;
  }
}

TYPED_TEST(ParseBothFamilies, PortZeroIsRefused) {
  Tuple<TypeParam> tuple = ends<TypeParam>();
  tuple.source_port = 0;
  EXPECT_EQ(refusal(test::tcp(tuple)), DropReason::port_zero);
  tuple = ends<TypeParam>();
  tuple.destination_port = 0;
  EXPECT_EQ(refusal(test::tcp(tuple)), DropReason::port_zero);
}

TYPED_TEST(ParseBothFamilies, ALandPacketIsRefused) {
  Tuple<TypeParam> tuple = ends<TypeParam>();
  tuple.source = tuple.destination;
  EXPECT_EQ(refusal(test::tcp(tuple)), DropReason::land_attack);
}

TYPED_TEST(ParseBothFamilies, IcmpNeedsItsHeader) {
  const std::uint8_t protocol = TypeParam::is_v6 ? protocol_icmpv6 : protocol_icmp;
  Frame frame = test::ip<TypeParam>(ends<TypeParam>().source, ends<TypeParam>().destination, protocol, Bytes(8));
  EXPECT_EQ(frame.parse().kind, PacketKind::icmp);
  EXPECT_EQ(refusal(test::ip<TypeParam>(ends<TypeParam>().source, ends<TypeParam>().destination, protocol, Bytes(7))),
            DropReason::l4_header_bad);
}

TYPED_TEST(ParseBothFamilies, OtherProtocolsAndTheOtherFamilysIcmpArePassedOn) {
  const std::uint8_t foreign = TypeParam::is_v6 ? protocol_icmp : protocol_icmpv6;
  for (const std::uint8_t protocol : {std::uint8_t{47}, std::uint8_t{50}, std::uint8_t{89}, foreign}) {
    Frame frame = test::ip<TypeParam>(ends<TypeParam>().source, ends<TypeParam>().destination, protocol, Bytes(3));
    EXPECT_EQ(frame.parse().kind, PacketKind::other_ip) << int{protocol};
  }
}

TYPED_TEST(ParseBothFamilies, NoBytesWhateverMakeItReadBeyondTheFrame) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    Frame frame = test::tcp(ends<TypeParam>(), {.options = {1, 1, 1, 1}, .payload = random() % 40});
    frame.bytes.resize(random() % (frame.bytes.size() + 1));
    frame.bytes.shrink_to_fit();
    for (auto change = random() % 4; change > 0 && !frame.bytes.empty(); --change) {
      frame.bytes[random() % frame.bytes.size()] = static_cast<std::uint8_t>(random());
    }
    const PacketView view = frame.parse({.ip_checksum_verified = true});
    if (view.kind == PacketKind::l4) {
      EXPECT_LE(view.l3 + view.l3_length, frame.bytes.data() + frame.bytes.size());
      EXPECT_EQ(view.l4 + view.l4_length, view.l3 + view.l3_length);
      EXPECT_LT(view.tcp_payload, view.l4_length);
    }
  }
}

TEST(Parse, OtherEtherTypesAreRefusedAndArpIsKept) {
  Frame frame = test::tcp(v4);
  test::put16(frame.bytes, 12, 0x8847);
  EXPECT_EQ(refusal(frame), DropReason::ethertype_unsupported);
  for (const std::uint16_t tag : {ether_type_vlan, ether_type_service_vlan}) {
    test::put16(frame.bytes, 12, tag);
    EXPECT_EQ(refusal(frame), DropReason::vlan_unknown);
  }
  test::put16(frame.bytes, 12, ether_type_arp);
  const PacketView view = frame.parse();
  EXPECT_EQ(view.kind, PacketKind::arp);
  EXPECT_EQ(view.l3_length, frame.bytes.size() - 14);
}

TEST(Parse, AnImpossibleIpv4HeaderIsRefused) {
  EXPECT_EQ(refusal(with_header_byte(0, 0x55)), DropReason::ip_header_bad);  // version
  EXPECT_EQ(refusal(with_header_byte(0, 0x44)), DropReason::ip_header_bad);  // too short a header
  EXPECT_EQ(refusal(with_header_byte(0, 0x4f)), DropReason::ip_header_bad);  // longer than the packet
  EXPECT_EQ(refusal(with_header_byte(3, 19)), DropReason::ip_header_bad);    // total below the header
  EXPECT_EQ(refusal(with_header_byte(2, 1)), DropReason::ip_header_bad);     // total beyond the frame
}

TEST(Parse, AnImpossibleIpv6HeaderIsRefused) {
  Frame frame = test::tcp(v6);
  frame.bytes[14] = 0x40;
  EXPECT_EQ(refusal(frame), DropReason::ip_header_bad);
  frame = test::tcp(v6);
  test::put16(frame.bytes, 18, 21);
  EXPECT_EQ(refusal(frame), DropReason::ip_header_bad);
}

TEST(Parse, AWrongHeaderChecksumIsRefusedUnlessTheNicHasVouchedForIt) {
  Frame frame = test::tcp(v4);
  frame.bytes[25] ^= 1U;
  EXPECT_EQ(refusal(frame), DropReason::ip_checksum_bad);
  EXPECT_EQ(frame.parse({.ip_checksum_verified = true}).kind, PacketKind::l4);
}

TEST(Parse, SourcesThatNoHostHasAreRefused) {
  for (const char* source : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255"}) {
    EXPECT_EQ(refusal(test::tcp(test::tuple<Ipv4>(protocol_tcp, source, 1, "192.0.2.9", 2))), DropReason::ip_source_bad)
        << source;
  }
  for (const char* source : {"::", "::1", "ff02::1", "ff0e::1", "::ffff:192.0.2.1"}) {
    EXPECT_EQ(refusal(test::tcp(test::tuple<Ipv6>(protocol_tcp, source, 1, "2001:db8::9", 2))),
              DropReason::ip_source_bad)
        << source;
  }
}

TEST(Parse, AnIpv4MappedDestinationIsRefused) {
  EXPECT_EQ(refusal(test::tcp(test::tuple<Ipv6>(protocol_tcp, "2001:db8::9", 1, "::ffff:192.0.2.1", 2))),
            DropReason::ip_source_bad);
}

TEST(Parse, TheUnspecifiedSourceIsLegalInNeighbourDiscoveryOnly) {
  Frame frame = test::ip<Ipv6>(Ipv6Address{}, test::address<Ipv6>("ff02::1:ff00:1"), protocol_icmpv6, Bytes(24));
  EXPECT_EQ(frame.parse().kind, PacketKind::icmp);
}

TEST(Parse, HarmlessIpv4OptionsPassAndSourceRoutesDoNot) {
  const auto with_options = [](Bytes options) { return test::tcp(v4, {.ip = {.options = std::move(options)}}); };
  Frame router_alert = with_options({148, 4, 0, 0});
  const PacketView view = router_alert.parse();
  ASSERT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.tuple<Ipv4>(), v4);
  EXPECT_EQ(with_options({0, 131, 3, 4}).parse().kind, PacketKind::l4);  // nothing counts after the end
  EXPECT_EQ(refusal(with_options({131, 7, 4, 192, 0, 2, 1, 0})), DropReason::ip_options_forbidden);
  EXPECT_EQ(refusal(with_options({1, 137, 3, 4})), DropReason::ip_options_forbidden);
  EXPECT_EQ(refusal(with_options({148, 4, 0, 0, 131, 4, 0, 0})), DropReason::ip_options_forbidden);
  EXPECT_EQ(refusal(with_options({7, 1, 0, 0})), DropReason::ip_options_forbidden);  // a length that leads nowhere
  EXPECT_EQ(refusal(with_options({1, 1, 1, 7})), DropReason::ip_options_forbidden);
}

TEST(Parse, FragmentsAreTold) {
  EXPECT_EQ(with_header_byte(6, 0x20).parse().kind, PacketKind::fragment);
  EXPECT_EQ(with_header_byte(7, 0x01).parse().kind, PacketKind::fragment);
  EXPECT_EQ(with_header_byte(6, 0x40).parse().kind, PacketKind::l4);  // "don't fragment" is no fragment
  Frame frame = test::tcp(v6, {.ip = {.options = {6, 0, 0, 1, 0, 0, 0, 1}, .first_next = 44}});
  EXPECT_EQ(frame.parse().kind, PacketKind::fragment);
}

TEST(Parse, HarmlessIpv6ExtensionHeadersAreSkipped) {
  Frame frame = test::tcp(
      v6,
      {.ip = {.options = {60, 0, 1, 4, 0, 0, 0, 0, 6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, .first_next = 0}});
  const PacketView view = frame.parse();
  ASSERT_EQ(view.kind, PacketKind::l4);
  EXPECT_EQ(view.l4, view.l3 + 64);
  EXPECT_EQ(view.l4_length, 20);
  EXPECT_EQ(view.tuple<Ipv6>(), v6);
}

TEST(Parse, RoutingHeadersAreRefused) {
  EXPECT_EQ(refusal(test::tcp(v6, {.ip = {.options = {6, 0, 4, 0, 0, 0, 0, 0}, .first_next = 43}})),
            DropReason::ip_options_forbidden);
}

TEST(Parse, AnExtensionHeaderBeyondThePacketIsRefused) {
  EXPECT_EQ(refusal(test::tcp(v6, {.ip = {.options = {6, 200, 0, 0, 0, 0, 0, 0}, .first_next = 0}})),
            DropReason::ip_header_bad);
  EXPECT_EQ(refusal(test::ip<Ipv6>(v6.source, v6.destination, 60, {})), DropReason::ip_header_bad);
}

TEST(Parse, AChainOfMoreThanSixExtensionHeadersIsRefused) {
  const auto chain = [](std::size_t headers) {
    Bytes options;
    for (std::size_t place = 0; place < headers; ++place) {
      const bool last = place + 1 == headers;
      options.insert(options.end(), {static_cast<std::uint8_t>(last ? 6 : 60), 0, 1, 4, 0, 0, 0, 0});
    }
    return test::tcp(v6, {.ip = {.options = options, .first_next = 60}});
  };
  EXPECT_EQ(chain(6).parse().kind, PacketKind::l4);
  EXPECT_EQ(refusal(chain(7)), DropReason::ip_header_bad);
}

TEST(DropReasons, HaveDistinctNames) {
  for (std::size_t left = 0; left < drop_reasons; ++left) {
    EXPECT_FALSE(name(static_cast<DropReason>(left)).empty());
    for (std::size_t right = 0; right < left; ++right) {
      EXPECT_NE(name(static_cast<DropReason>(left)), name(static_cast<DropReason>(right)));
    }
  }
}

}  // namespace
}  // namespace steelyard::packet

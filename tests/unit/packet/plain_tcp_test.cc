// The short way through the parser accepts nothing that the long one refuses, and describes what it accepts alike.
#include "dataplane/packet/plain_tcp.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/packet_builder.h"

namespace steelyard::packet {
namespace {

using test::Frame;

template <class Family>
Tuple<Family> ends() {
  if constexpr (Family::is_v6) {
    return test::tuple<Ipv6>(protocol_tcp, "2001:db8::1", 4321, "2001:db8:1::7", 80);
  } else {
    return test::tuple<Ipv4>(protocol_tcp, "192.0.2.1", 4321, "198.51.100.7", 80);
  }
}

// What the caller has checked before: the EtherType is the family's.
template <class Family>
bool takes_short_way(Frame& frame, ParseOptions options, PacketView& view) {
  return frame.bytes.size() >= 14 && test::get16(frame.bytes, 12) == Family::ether_type &&
         parse_plain_tcp<Family>(frame.bytes, frame.bytes.size(), options, view);
}

void expect_same(const PacketView& quick, const PacketView& full) {
  EXPECT_EQ(quick.kind, full.kind);
  EXPECT_EQ(quick.l3, full.l3);
  EXPECT_EQ(quick.l4, full.l4);
  EXPECT_EQ(quick.l3_length, full.l3_length);
  EXPECT_EQ(quick.l4_length, full.l4_length);
  EXPECT_EQ(quick.tcp_payload, full.tcp_payload);
  EXPECT_EQ(quick.is_v6, full.is_v6);
  EXPECT_EQ(quick.protocol, full.protocol);
  EXPECT_EQ(quick.tcp_flags, full.tcp_flags);
}

template <class Family>
class PlainTcp : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(PlainTcp, Families);

TYPED_TEST(PlainTcp, OrdinarySegmentsTakeTheShortWay) {
  for (std::size_t payload : {0U, 1U, 1'400U}) {
    Frame frame = test::tcp(ends<TypeParam>(), {.options = {1, 1, 1, 1}, .payload = payload});
    PacketView view;
    ASSERT_TRUE(takes_short_way<TypeParam>(frame, {}, view));
    expect_same(view, frame.parse());
  }
}

TYPED_TEST(PlainTcp, WhateverIsChangedInASegmentBothWaysAgree) {
  std::mt19937 random(7);
  std::size_t taken = 0;
  for (int round = 0; round < 200'000; ++round) {
    Frame frame = test::tcp(ends<TypeParam>(), {.options = {1, 1, 1, 1}, .payload = random() % 30});
    for (auto change = random() % 3; change > 0; --change) {
      frame.bytes[12 + random() % (TypeParam::header_size + 26)] = static_cast<std::uint8_t>(random());
    }
    if (random() % 8 == 0) {
      frame.bytes.resize(random() % frame.bytes.size());
      frame.bytes.shrink_to_fit();
    }
    const ParseOptions options{random() % 2 == 0};
    PacketView quick;
    if (takes_short_way<TypeParam>(frame, options, quick)) {
      ++taken;
      ASSERT_NO_FATAL_FAILURE(expect_same(quick, frame.parse(options)));
    }
  }
  EXPECT_GT(taken, 50'000U);
}

TYPED_TEST(PlainTcp, TheFlagsThatItTakesAreThoseOfTheParser) {
  for (std::uint32_t flags = 0; flags < 256; ++flags) {
    Frame frame = test::tcp(ends<TypeParam>(), {.flags = static_cast<std::uint8_t>(flags)});
    PacketView view;
    EXPECT_EQ(takes_short_way<TypeParam>(frame, {}, view), frame.parse().kind == PacketKind::l4) << flags;
  }
}

TEST(PlainTcpIpv6, ZeroHighHalvesGoTheLongWay) {
  for (const char* odd : {"::1", "::", "::ffff:192.0.2.1", "::2"}) {
    PacketView view;
    Frame from = test::tcp(test::tuple<Ipv6>(protocol_tcp, odd, 1, "2001:db8::1", 2));
    EXPECT_FALSE(takes_short_way<Ipv6>(from, {}, view)) << odd;
    Frame towards = test::tcp(test::tuple<Ipv6>(protocol_tcp, "2001:db8::1", 1, odd, 2));
    EXPECT_FALSE(takes_short_way<Ipv6>(towards, {}, view)) << odd;
  }
}

}  // namespace
}  // namespace steelyard::packet

// Packets into tunnels, as they leave a port: behind an outer header, whole or in pieces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/fragment_builder.h"
#include "tests/unit/worker/stand.h"

namespace steelyard {
namespace {

using test::Frame;
using test::lan;
using test::Scene;
using test::Stand;
using test::wan;
using testing::SizeIs;

template <class Family>
class TunnelFrames : public testing::Test {
 protected:
  using S = Scene<Family>;
  static Frame datagram(std::size_t payload, std::uint16_t client_port = 4'321) {
    return test::udp(
        test::tuple<Family>(packet::protocol_udp, S::client, client_port, S::vip, test::tunnel_datagram_port),
        {.payload = payload});
  }
  // The packet inside a frame, in a frame.
  static Frame inside(Frame outer) {
    EXPECT_EQ(outer.protocol(), Family::is_v6 ? packet::protocol_ipv6 : packet::protocol_ipv4);
    EXPECT_EQ(outer.parse().template source<Family>(), test::address<Family>(S::local));
    return test::framed(outer.l3().subspan(Family::header_size));
  }
  static void expect_same(Frame seen, Frame sent) {
    sent.l3()[Family::ttl_offset] -= 1;
    sent.fix_checksums();
    EXPECT_TRUE(std::ranges::equal(seen.l3(), sent.l3()));
  }
};
using Families = testing::Types<packet::Ipv4, packet::Ipv6>;
TYPED_TEST_SUITE(TunnelFrames, Families);

TYPED_TEST(TunnelFrames, GoToTheServersLinkAddressBehindAnOuterHeader) {
  for (const std::size_t workers : {1U, 2U}) {
    Stand stand({.workers = workers});
    for (std::uint16_t client_port = 4'000; client_port < 4'008; ++client_port) {
      const Frame sent = this->datagram(100, client_port);
      for (int time = 0; time < 3; ++time) {  // a new flow, and the fast path
        stand.receive(wan, sent, static_cast<std::uint16_t>(client_port % workers));
        stand.resolve();
        const auto seen = stand.sent(lan);
        ASSERT_THAT(seen, SizeIs(1));
        EXPECT_EQ(seen[0].bytes.size(), sent.bytes.size() + TypeParam::header_size);
        this->expect_same(this->inside(seen[0]), sent);
      }
    }
  }
}

TYPED_TEST(TunnelFrames, AreSplitWhereTheInnerPacketMayBe) {
  Stand stand;
  stand.receive(wan, this->datagram(10));
  stand.resolve();
  (void)stand.sent(lan);
  const Frame large = this->datagram(1'500 - TypeParam::header_size - 8);
  stand.receive(wan, large);
  stand.resolve();
  auto pieces = stand.sent(lan);
  if (TypeParam::is_v6) {
    EXPECT_THAT(pieces, SizeIs(0));
    auto told = stand.sent(wan);
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_EQ(test::get32(told[0].l4(), 4), 1'460U) << "what fits into the tunnel";
    return;
  }
  ASSERT_THAT(pieces, SizeIs(2));
  auto whole = test::join<TypeParam>(pieces);
  ASSERT_TRUE(whole);
  this->expect_same(this->inside(*whole), large);
}

TYPED_TEST(TunnelFrames, OfLaterFragmentsFollowTheFirst) {
  for (const std::size_t workers : {1U, 2U}) {
    Stand stand({.workers = workers});
    const Frame sent = this->datagram(4'000);
    std::uint16_t number = 0;
    for (const Frame& fragment : test::cut<TypeParam>(sent, 1'400)) {
      stand.receive(wan, fragment, static_cast<std::uint16_t>(number++ % workers));
    }
    stand.resolve();
    std::vector<Frame> inner;
    for (const Frame& frame : stand.sent(lan)) {
      inner.push_back(this->inside(frame));
    }
    ASSERT_THAT(inner, SizeIs(3));
    auto whole = test::join<TypeParam>(inner);
    ASSERT_TRUE(whole);
    EXPECT_TRUE(std::ranges::equal(whole->l4(), Frame(sent).l4()));
  }
}

}  // namespace
}  // namespace steelyard

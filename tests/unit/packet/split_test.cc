// A packet in pieces is the packet again when a receiver has put them together.
#include "dataplane/packet/split.h"

#include <gtest/gtest.h>

#include "tests/unit/fragment_builder.h"

namespace steelyard::packet {
namespace {

using test::Bytes;
using test::Frame;

template <class Family>
class Splitting : public ::testing::Test {
 protected:
  static Frame packet(std::size_t payload, const test::IpFields& fields = {}) {
    const auto ends = test::tuple<Family>(protocol_udp, Family::is_v6 ? "2001:db8::1" : "192.0.2.1", 7,
                                          Family::is_v6 ? "2001:db8::2" : "192.0.2.2", 9);
    return test::udp(ends, {.payload = payload, .ip = fields});
  }
  static std::vector<Frame> split(Frame whole, std::size_t chunk, std::uint32_t id) {
    const auto l3 = whole.l3();
    const std::size_t header = header_length<Family>(l3.data());
    const auto data = l3.subspan(header);
    std::vector<Frame> pieces;
    for (std::size_t at = 0; at < data.size(); at += chunk) {
      const auto part = data.subspan(at, std::min(chunk, data.size() - at));
      const std::size_t front = header + piece_overhead<Family>;
      Bytes piece(front + part.size());
      write_piece_header<Family>(piece, l3.first(header), {at, part.size(), at + chunk >= data.size()}, id);
      std::ranges::copy(part, piece.begin() + static_cast<std::ptrdiff_t>(front));
      pieces.push_back(test::framed(piece));
    }
    return pieces;
  }
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Splitting, Families);

TYPED_TEST(Splitting, GivesPiecesThatMakeThePacketAgain) {
  for (const std::size_t payload : {100U, 1'472U, 1'473U, 8'000U}) {
    Frame whole = this->packet(payload);
    auto pieces = this->split(whole, 1'000, 0x12345678);
    EXPECT_EQ(pieces.size(), (payload + 8 + 999) / 1'000);
    auto joined = test::join<TypeParam>(pieces);
    ASSERT_TRUE(joined);
    EXPECT_TRUE(std::ranges::equal(joined->l4(), whole.l4()));
    EXPECT_EQ(joined->ttl(), whole.ttl());
  }
}

TYPED_TEST(Splitting, GivesAllPiecesTheirNumber) {
  for (const Frame& piece : this->split(this->packet(3'000), 1'000, __builtin_bswap32(0x9abcdef0))) {
    EXPECT_EQ(
        test::Piece<TypeParam>::of(piece).id,
        TypeParam::is_v6 ? 0x9abcdef0U : __builtin_bswap16(static_cast<std::uint16_t>(__builtin_bswap32(0x9abcdef0))));
  }
}

TEST(SplittingIpv4, AFragmentIntoFragmentsOfTheSameDatagram) {
  using Split = Splitting<Ipv4>;
  struct Access : Split {
    using Split::packet;
    using Split::split;
    void TestBody() override {}
  };
  Frame whole = Access::packet(5'000);
  std::vector<Frame> all;
  for (Frame& fragment : test::cut<Ipv4>(whole, 2'000, 77)) {
    for (const Frame& piece : Access::split(fragment, 800, __builtin_bswap16(77))) {
      all.push_back(piece);
    }
  }
  auto joined = test::join<Ipv4>(all);
  ASSERT_TRUE(joined);
  EXPECT_TRUE(std::ranges::equal(joined->l4(), whole.l4()));
}

TEST(SplittingIpv4, OptionsThatAreNotCopiedStandInTheFirstPieceAlone) {
  // Router alert (148, copied), record route (7, not copied), padding.
  const Bytes options{148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0};
  Bytes header(32);
  header[0] = 0x48;
  std::ranges::copy(options, header.begin() + 20);
  Bytes first(32);
  Bytes later(32);
  write_piece_header<Ipv4>(first, header, {0, 80, false}, 1);
  write_piece_header<Ipv4>(later, header, {80, 80, true}, 1);
  EXPECT_TRUE(std::ranges::equal(std::span(first).subspan(20), options));
  EXPECT_TRUE(std::ranges::equal(std::span(later).subspan(20), Bytes{148, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(test::slow_checksum(later), 0);
}

}  // namespace
}  // namespace steelyard::packet

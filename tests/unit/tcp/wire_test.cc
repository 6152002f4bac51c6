// Headers on the wire, checked by the test's own checksum and by the parser of packets.
#include "dataplane/tcp/wire.h"

#include <gtest/gtest.h>

#include "tests/unit/packet_builder.h"

namespace steelyard::tcp {
namespace {

Endpoints endpoints(bool v6) {
  Endpoints result{mapped({__builtin_bswap32(0xc0000201U)}), mapped({__builtin_bswap32(0xc0000202U)}), 4'001, 80};
  if (v6) {
    result.remote.raw = {0x1122334455667788U, 0x99U};
    result.local.raw = {0x8877665544332211U, 0x77U};
  }
  return result;
}

Outgoing some_segment() {
  Outgoing segment;
  segment.sequence = Sequence{0x01020304U};
  segment.acknowledgment = Sequence{0xfffffffeU};
  segment.window = 0x1234;
  segment.flags = flag::ack | flag::psh;
  segment.options.has_timestamps = true;
  segment.options.timestamp = 5;
  segment.options.sack_count = 1;
  segment.options.sacks[0] = {Sequence{7}, Sequence{9}};
  return segment;
}

TEST(Wire, AHeaderComesBackAsItWasWritten) {
  for (const bool v6 : {false, true}) {
    std::array<std::uint8_t, largest_tcp_header> room{};
    const std::size_t length = write_header(room, endpoints(v6), some_segment());
    EXPECT_EQ(length, 20U + 12 + 12);
    const SegmentHeader read = read_header(std::span{room}.first(length));
    EXPECT_EQ(read.sequence, Sequence{0x01020304U});
    EXPECT_EQ(read.acknowledgment, Sequence{0xfffffffeU});
    EXPECT_EQ(read.window, 0x1234);
    EXPECT_EQ(read.flags, flag::ack | flag::psh);
    EXPECT_EQ(read.options.timestamp, 5U);
    EXPECT_EQ(read.options.sack_count, 1);
  }
}

TEST(Wire, TheChecksumIsRightHoweverThePayloadIsCut) {
  const std::string payload = "the quick brown fox jumps over the lazy dog";
  for (const bool v6 : {false, true}) {
    for (std::size_t first = 0; first <= payload.size(); ++first) {
      const std::size_t second = (payload.size() - first) / 2;
      test::Bytes bytes(largest_tcp_header);
      const std::size_t length = write_header(
          std::span<std::uint8_t, largest_tcp_header>{bytes.data(), largest_tcp_header}, endpoints(v6), some_segment());
      bytes.resize(length);
      const auto* octets = reinterpret_cast<const std::uint8_t*>(payload.data());
      PiecewiseSum sum;
      sum.add({octets, first});
      sum.add({octets + first, second});
      sum.add({octets + first + second, payload.size() - first - second});
      store_checksum(bytes, endpoints(v6), payload.size(), sum.value());
      test::append(bytes, {octets, payload.size()});
      ASSERT_TRUE(checksum_is_right(bytes, endpoints(v6)));
      // RFC 1071's way, over the pseudo header in front.
      test::Bytes whole;
      if (v6) {
        test::append(whole, endpoints(v6).remote.bytes());
        test::append(whole, endpoints(v6).local.bytes());
      } else {
        test::append(whole, ipv4_of(endpoints(v6).remote).bytes());
        test::append(whole, ipv4_of(endpoints(v6).local).bytes());
      }
      const auto size = static_cast<std::uint8_t>(bytes.size());
      test::append(whole, std::array<std::uint8_t, 4>{0, 6, 0, size});
      test::append(whole, bytes);
      ASSERT_EQ(test::slow_checksum(whole), 0);
      bytes[length] ^= 0x40;
      ASSERT_FALSE(checksum_is_right(bytes, endpoints(v6)));
    }
  }
}

}  // namespace
}  // namespace steelyard::tcp

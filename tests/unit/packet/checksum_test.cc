// Full and incremental checksums against a slow one and against each other.
#include "dataplane/packet/checksum.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/packet_builder.h"

namespace steelyard::packet {
namespace {

using test::Bytes;

Bytes random_bytes(std::mt19937& random, std::size_t size) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) {
    // Runs of all ones and zeros are where carries and the two zeros of one's complement meet.
    const auto kind = random() % 4;
    byte = kind == 0 ? std::uint8_t{0xff} : kind == 1 ? std::uint8_t{0} : static_cast<std::uint8_t>(random());
  }
  return bytes;
}

// A checksum as it is stored in a packet, read as a number in network order.
std::uint16_t network(std::uint16_t stored) {
  return __builtin_bswap16(stored);
}

TEST(Checksum, TheExampleOfRfc1071Holds) {
  const Bytes bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(network(fold(sum_of(bytes))), 0xddf2);
}

TEST(Checksum, FoldKeepsTheSumModulo65535) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 100'000; ++round) {
    const std::uint64_t sum = random() >> (random() % 64);
    EXPECT_EQ(fold(sum) % 0xffffU, sum % 0xffffU);
    EXPECT_EQ(fold(sum) == 0, sum == 0);  // only nothing folds to nothing
  }
  EXPECT_EQ(fold(0xffff'ffff'ffff'ffffU), 0xffff);
}

TEST(Checksum, EqualsTheSlowOneForEveryLengthAndPosition) {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 200; ++size) {
    for (std::size_t offset = 0; offset < 4; ++offset) {
      const Bytes bytes = random_bytes(random, size + offset);
      const std::span<const std::uint8_t> part = std::span(bytes).subspan(offset);
      EXPECT_EQ(network(static_cast<std::uint16_t>(~fold(sum_of(part)))), test::slow_checksum(part)) << size;
    }
  }
}

TEST(Checksum, TheLargestPacketDoesNotOverflowIt) {
  const Bytes bytes(65'535, 0xff);
  EXPECT_EQ(network(static_cast<std::uint16_t>(~fold(sum_of(bytes)))), test::slow_checksum(bytes));
}

TEST(Checksum, ARightIpv4HeaderSumsUpToZero) {
  test::Frame frame = test::tcp(test::tuple<Ipv4>(protocol_tcp, "192.0.2.1", 1, "192.0.2.2", 2));
  EXPECT_EQ(ipv4_header_checksum(frame.l3().first(20)), 0);
}

TEST(Checksum, CoversThePseudoHeaderOfBothFamilies) {
  for (std::size_t payload = 0; payload < 40; ++payload) {
    test::Frame v4 = test::tcp(test::tuple<Ipv4>(protocol_tcp, "192.0.2.1", 1, "192.0.2.2", 2), {.payload = payload});
    const PacketView four = v4.parse();
    EXPECT_EQ(l4_checksum<Ipv4>(four.source<Ipv4>(), four.destination<Ipv4>(), protocol_tcp, v4.l4()), 0) << payload;
    test::Frame v6 = test::udp(test::tuple<Ipv6>(protocol_udp, "fd00::1", 1, "fd00::2", 2), {.payload = payload});
    const PacketView six = v6.parse();
    EXPECT_EQ(l4_checksum<Ipv6>(six.source<Ipv6>(), six.destination<Ipv6>(), protocol_udp, v6.l4()), 0) << payload;
  }
}

// Applies random changes to random bytes and compares the updated checksum with a new one. `kind` 0: 16-bit words,
// 1: 32-bit words, 2: pairs of IPv4 addresses, 3: of IPv6 addresses.
class IncrementalChecksum : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Kinds, IncrementalChecksum, testing::Range(0, 4));

template <class Value>
void change(Bytes& bytes, std::size_t at, const Bytes& by, ChecksumDelta& delta) {
  Value after;
  std::memcpy(&after, by.data(), sizeof after);
  delta.replace(load<Value>(bytes.data() + at), after);
  store(bytes.data() + at, after);
}

TEST_P(IncrementalChecksum, EqualsANewOneAfterAnyNumberOfChanges) {
  std::mt19937 random(static_cast<std::uint32_t>(GetParam()));
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes = random_bytes(random, 60 + random() % 9);
    bytes[0] = 0x45;  // some byte is never zero, as in every packet
    const auto before = static_cast<std::uint16_t>(~fold(sum_of(bytes)));
    ChecksumDelta delta;
    ChecksumDelta part;
    for (auto changes = random() % 5; changes > 0; --changes) {
      const std::size_t at = 2 + 2 * (random() % 11);
      const Bytes by = random_bytes(random, 32);
      ChecksumDelta& chosen = random() % 2 == 0 ? delta : part;
      switch (GetParam()) {
        case 0:
          change<std::uint16_t>(bytes, at, by, chosen);
          break;
        case 1:
          change<std::uint32_t>(bytes, at, by, chosen);
          break;
        case 2:
          change<AddressPair<Ipv4>>(bytes, at, by, chosen);
          break;
        default:
          change<AddressPair<Ipv6>>(bytes, at, by, chosen);
      }
    }
    delta.add(part);
    EXPECT_EQ(delta.apply(before), static_cast<std::uint16_t>(~fold(sum_of(bytes))));
  }
}

TEST(IncrementalChecksums, NoChangeLeavesEveryChecksumAsItWas) {
  for (std::uint32_t checksum = 0; checksum < 0xffff; ++checksum) {
    EXPECT_EQ(ChecksumDelta{}.apply(static_cast<std::uint16_t>(checksum)), checksum);
  }
  EXPECT_EQ(ChecksumDelta{}.apply(0xffff), 0) << "the other zero of one's complement";
}

}  // namespace
}  // namespace steelyard::packet

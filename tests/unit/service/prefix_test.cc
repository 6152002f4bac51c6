// Prefixes: read, written, and what they contain.
#include <gtest/gtest.h>

#include <random>

#include "dataplane/service/address.h"

namespace steelyard::service {
namespace {

Prefix prefix(std::string_view text) {
  const auto parsed = Prefix::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(Prefix{});
}
bool contains(std::string_view outer, std::string_view inner) {
  return prefix(outer).contains(*Address::parse(inner));
}

// The definition: the first bits are the same, compared one at a time.
bool shares_bits(const Address& left, const Address& right, std::size_t from, std::size_t bits) {
  for (std::size_t bit = from; bit < from + bits; ++bit) {
    const unsigned mask = 0x80U >> (bit % 8);
    if (((left.v6()[bit / 8] ^ right.v6()[bit / 8]) & mask) != 0) {
      return false;
    }
  }
  return true;
}
Address with_bit_changed(const Address& address, std::size_t bit) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(address.v6(), bytes.begin());
  bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (0x80U >> (bit % 8)));
  return Address::from_v6(bytes);
}

TEST(PrefixText, IsReadWithItsHostBits) {
  const Prefix read = prefix("192.0.2.7/24");
  EXPECT_EQ(read.address, *Address::parse("192.0.2.7"));
  EXPECT_EQ(read.length, 24);
  EXPECT_EQ(read.to_string(), "192.0.2.7/24");
  EXPECT_EQ(prefix("2001:db8::7/64").to_string(), "2001:db8::7/64");
}

TEST(PrefixText, IsAHostsWhenItIsABareAddress) {
  EXPECT_EQ(prefix("192.0.2.7").length, 32);
  EXPECT_EQ(prefix("2001:db8::7").length, 128);
}

TEST(PrefixText, IsReadUpToTheLengthOfItsFamily) {
  EXPECT_EQ(prefix("0.0.0.0/0").length, 0);
  EXPECT_EQ(prefix("192.0.2.7/32").length, 32);
  EXPECT_FALSE(Prefix::parse("192.0.2.7/33"));
  EXPECT_EQ(prefix("::/0").length, 0);
  EXPECT_EQ(prefix("2001:db8::7/128").length, 128);
  EXPECT_FALSE(Prefix::parse("2001:db8::7/129"));
}

TEST(PrefixText, RefusesLengthsThatAreNoNumbers) {
  for (const std::string_view text : {"192.0.2.0/", "192.0.2.0/a", "192.0.2.0/2a", "192.0.2.0/-1", "192.0.2.0/+8",
                                      "192.0.2.0/ 8", "192.0.2.0/8 ", "192.0.2.0/8/8", "192.0.2.0/255.255.255.0",
                                      "192.0.2.0/4294967304", "192.0.2.0/18446744073709551640", "/24", ""}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(PrefixText, RefusesMappedAddresses) {
  EXPECT_FALSE(Prefix::parse("::ffff:192.0.2.0/120"));
}

TEST(PrefixContains, ItsFirstAndLastAddressAndNotTheirNeighbours) {
  EXPECT_TRUE(contains("192.0.2.0/24", "192.0.2.0"));
  EXPECT_TRUE(contains("192.0.2.0/24", "192.0.2.255"));
  EXPECT_FALSE(contains("192.0.2.0/24", "192.0.1.255"));
  EXPECT_FALSE(contains("192.0.2.0/24", "192.0.3.0"));
  EXPECT_TRUE(contains("2001:db8::/63", "2001:db8:0:1:ffff:ffff:ffff:ffff"));
  EXPECT_FALSE(contains("2001:db8::/63", "2001:db8:0:2::"));
}

TEST(PrefixContains, TheSameWhateverItsHostBitsAre) {
  EXPECT_TRUE(contains("192.0.2.200/24", "192.0.2.1"));
  EXPECT_TRUE(contains("2001:db8::ffff/64", "2001:db8::1"));
}

TEST(PrefixContains, AllOfItsOwnFamilyAndNoneOfTheOther) {
  EXPECT_TRUE(contains("0.0.0.0/0", "255.255.255.255"));
  EXPECT_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_FALSE(contains("0.0.0.0/0", "::"));
  EXPECT_TRUE(contains("::/0", "2001:db8::1"));
  EXPECT_FALSE(contains("::/0", "192.0.2.1"));
  EXPECT_FALSE(contains("::/80", "192.0.2.1"));
}

TEST(PrefixContains, ExactlyWhatSharesItsBits) {
  for (const std::string_view text : {"192.0.2.77", "2001:db8:1234:5678:9abc:def0:1357:9bdf"}) {
    const Address base = *Address::parse(text);
    const std::size_t first = base.is_v4() ? 96 : 0;
    for (std::size_t length = 0; first + length <= 128; ++length) {
      const Prefix outer{base, static_cast<std::uint8_t>(length)};
      EXPECT_TRUE(outer.contains(base));
      for (std::size_t bit = first; bit < 128; ++bit) {
        EXPECT_EQ(outer.contains(with_bit_changed(base, bit)), bit >= first + length) << text << '/' << length;
      }
    }
  }
}

TEST(PrefixContains, AgreesWithTheDefinitionOnRandomAddresses) {
  std::mt19937 random(4291);
  for (int round = 0; round < 20'000; ++round) {
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::generate(bytes, [&] { return static_cast<std::uint8_t>(random()); });
    bytes[0] = 0x20;
    const Address left = Address::from_v6(bytes);
    const Address right = with_bit_changed(left, random() % 128);
    const std::size_t length = random() % 129;
    EXPECT_EQ((Prefix{left, static_cast<std::uint8_t>(length)}.contains(right)), shares_bits(left, right, 0, length));
  }
}

TEST(PrefixNetwork, HasNoHostBits) {
  EXPECT_EQ(prefix("192.0.2.77/24").network().to_string(), "192.0.2.0/24");
  EXPECT_EQ(prefix("192.0.2.77/0").network().to_string(), "0.0.0.0/0");
  EXPECT_EQ(prefix("192.0.2.77/32").network().to_string(), "192.0.2.77/32");
  EXPECT_EQ(prefix("192.0.2.255/27").network().to_string(), "192.0.2.224/27");
  EXPECT_EQ(prefix("2001:db8::ffff/49").network().to_string(), "2001:db8::/49");
  EXPECT_EQ(prefix("ffff:ffff:ffff:ffff::/0").network().to_string(), "::/0");
}

TEST(PrefixNetwork, KeepsItsFamily) {
  EXPECT_TRUE(prefix("192.0.2.77/0").network().address.is_v4());
}

}  // namespace
}  // namespace steelyard::service

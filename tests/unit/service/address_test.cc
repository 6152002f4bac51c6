// Addresses of both families in one type: read, written, told apart, and classified.
#include "dataplane/service/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unordered_set>
#include <vector>

namespace steelyard::service {
namespace {

Address address(std::string_view text) {
  const auto parsed = Address::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(Address{});
}
bool is_refused(std::string_view text) {
  return !Address::parse(text);
}

TEST(AddressText, IsReadAndWrittenInTheCanonicalForm) {
  EXPECT_EQ(address("192.0.2.1").to_string(), "192.0.2.1");
  EXPECT_EQ(address("2001:DB8:0:0:0:0:0:1").to_string(), "2001:db8::1");
  EXPECT_EQ(address("2001:db8:0:1::").to_string(), "2001:db8:0:1::");
  EXPECT_EQ(address("::").to_string(), "::");
  EXPECT_EQ(address("255.255.255.255").to_string(), "255.255.255.255");
}

TEST(AddressText, IsReadAtItsGreatestLength) {
  const std::string_view longest = "1111:2222:3333:4444:5555:6666:100.100.100.100";
  EXPECT_EQ(longest.size(), 45u);
  EXPECT_EQ(address(longest).to_string(), "1111:2222:3333:4444:5555:6666:6464:6464");
  EXPECT_TRUE(is_refused("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa"));
}

TEST(AddressText, RefusesWhatIsNoAddress) {
  for (const std::string_view text : {"", " ", "192.0.2", "192.0.2.256", "192.0.2.1.1", "192.0.2.01", "0x7f.0.0.1",
                                      "2130706433", "192.0.2.1 ", " 192.0.2.1", "web", ":", ":::", "2001:db8",
                                      "2001:db8::1::", "2001:db8::g", "1:2:3:4:5:6:7:8:9", "[2001:db8::1]"}) {
    EXPECT_TRUE(is_refused(text)) << text;
  }
}

TEST(AddressText, RefusesZonesPrefixesAndPorts) {
  EXPECT_TRUE(is_refused("fe80::1%eth0"));
  EXPECT_TRUE(is_refused("192.0.2.1/24"));
  EXPECT_TRUE(is_refused("2001:db8::/32"));
  EXPECT_TRUE(is_refused("192.0.2.1:80"));
}

TEST(AddressText, RefusesIpv4InItsMappedForm) {
  EXPECT_TRUE(is_refused("::ffff:192.0.2.1"));
  EXPECT_TRUE(is_refused("::ffff:c000:201"));
  EXPECT_TRUE(is_refused("0:0:0:0:0:ffff:0:0"));
}

TEST(AddressText, RefusesANulAndWhatFollowsIt) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(is_refused("192.0.2.1\0"sv));
  EXPECT_TRUE(is_refused("192.0.2.1\0.evil"sv));
}

TEST(AddressText, DoesNotLookBehindItsEnd) {
  EXPECT_EQ(address(std::string_view("192.0.2.123").substr(0, 9)).to_string(), "192.0.2.1");
}

TEST(AddressFamily, NeverConfusesIpv4WithIpv6ThatLooksLikeIt) {
  const Address v4 = address("192.0.2.1");
  for (const std::string_view text : {"::192.0.2.1", "::fffe:192.0.2.1", "::1:ffff:192.0.2.1", "64:ff9b::192.0.2.1",
                                      "2002:c000:201::", "::ffff:0:192.0.2.1"}) {
    const Address v6 = address(text);
    EXPECT_FALSE(v6.is_v4()) << text;
    EXPECT_NE(v6, v4) << text;
  }
  EXPECT_TRUE(v4.is_v4());
}

TEST(AddressFamily, ComesBackFromItsBytes) {
  const std::array<std::uint8_t, 4> v4{192, 0, 2, 1};
  EXPECT_EQ(Address::from_v4(v4), address("192.0.2.1"));
  EXPECT_TRUE(std::ranges::equal(Address::from_v4(v4).v4(), v4));
  EXPECT_TRUE(std::ranges::equal(address("2001:db8::1").v6(),
                                 std::array<std::uint8_t, 16>{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(Address::from_v6(address("2001:db8::1").v6()), address("2001:db8::1"));
}

TEST(AddressFamily, HasAnUnspecifiedAddressEach) {
  EXPECT_TRUE(Address{}.is_unspecified());
  EXPECT_FALSE(Address{}.is_v4());
  EXPECT_TRUE(address("0.0.0.0").is_unspecified());
  EXPECT_NE(address("0.0.0.0"), address("::"));
  EXPECT_FALSE(address("0.0.0.1").is_unspecified());
  EXPECT_FALSE(address("::1").is_unspecified());
  EXPECT_FALSE(address("1::").is_unspecified());
}

TEST(AddressKinds, KnowsGroups) {
  EXPECT_TRUE(address("224.0.0.1").is_multicast());
  EXPECT_TRUE(address("239.255.255.255").is_multicast());
  EXPECT_FALSE(address("223.255.255.255").is_multicast());
  EXPECT_FALSE(address("240.0.0.0").is_multicast());
  EXPECT_TRUE(address("ff02::1").is_multicast());
  EXPECT_FALSE(address("fe80::1").is_multicast());
  EXPECT_FALSE(address("e000::1").is_multicast());
}

TEST(AddressKinds, KnowsLoopback) {
  EXPECT_TRUE(address("127.0.0.1").is_loopback());
  EXPECT_TRUE(address("127.255.255.255").is_loopback());
  EXPECT_FALSE(address("128.0.0.1").is_loopback());
  EXPECT_TRUE(address("::1").is_loopback());
  EXPECT_FALSE(address("::").is_loopback());
  EXPECT_FALSE(address("::2").is_loopback());
  EXPECT_FALSE(address("2001:db8::1").is_loopback());
}

TEST(AddressKinds, KnowsLinkLocal) {
  EXPECT_TRUE(address("169.254.0.0").is_link_local());
  EXPECT_TRUE(address("169.254.255.255").is_link_local());
  EXPECT_FALSE(address("169.253.1.1").is_link_local());
  EXPECT_TRUE(address("fe80::1").is_link_local());
  EXPECT_TRUE(address("febf::1").is_link_local());
  EXPECT_FALSE(address("fec0::1").is_link_local());
  EXPECT_FALSE(address("fe7f::1").is_link_local());
}

TEST(AddressOrder, IsTotalAndAgreesWithEquality) {
  const std::vector<Address> ordered{address("::"),        address("::1"),     address("0.0.0.0"), address("10.0.0.1"),
                                     address("192.0.2.1"), address("2001::1"), address("ff02::1")};
  for (std::size_t left = 0; left < ordered.size(); ++left) {
    for (std::size_t right = 0; right < ordered.size(); ++right) {
      EXPECT_EQ(ordered[left] < ordered[right], left < right);
      EXPECT_EQ(ordered[left] == ordered[right], left == right);
    }
  }
}

TEST(AddressOrder, ASingleBitMakesADifference) {
  const Address base = address("2001:db8::1");
  std::unordered_set<Address> seen{base};
  for (std::size_t bit = 0; bit < 128; ++bit) {
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(base.v6(), bytes.begin());
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (0x80U >> (bit % 8)));
    EXPECT_NE(Address::from_v6(bytes), base) << bit;
    EXPECT_TRUE(seen.insert(Address::from_v6(bytes)).second) << bit;
  }
}

}  // namespace
}  // namespace steelyard::service

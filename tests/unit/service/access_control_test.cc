// White and black lists against the definition: an address is listed when one of the prefixes contains it.
#include "dataplane/service/access_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
#include <vector>

namespace steelyard::service {
namespace {

Address address(std::string_view text) {
  const auto parsed = Address::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(Address{});
}
std::vector<Prefix> prefixes(std::initializer_list<std::string_view> texts) {
  std::vector<Prefix> list;
  for (const std::string_view text : texts) {
    list.push_back(Prefix::parse(text).value());
  }
  return list;
}

TEST(AccessControl, AWhiteListLetsItsSourcesInAndNobodyElse) {
  const AccessControl access(AccessType::white, prefixes({"198.51.100.0/24", "2001:db8:5::/48", "203.0.113.7"}));
  for (const char* allowed :
       {"198.51.100.0", "198.51.100.255", "2001:db8:5::", "2001:db8:5:ffff:ffff:ffff:ffff:ffff", "203.0.113.7"}) {
    EXPECT_TRUE(access.allows(address(allowed))) << allowed;
  }
  for (const char* denied : {"198.51.99.255", "198.51.101.0", "2001:db8:4:ffff::1", "2001:db8:6::", "203.0.113.6",
                             "203.0.113.8", "0.0.0.0", "255.255.255.255", "::", "ffff::"}) {
    EXPECT_FALSE(access.allows(address(denied))) << denied;
  }
}

TEST(AccessControl, ABlackListLetsEverybodyElseIn) {
  const AccessControl access(AccessType::black, prefixes({"198.51.100.0/24", "2001:db8:5::/48"}));
  EXPECT_FALSE(access.allows(address("198.51.100.77")));
  EXPECT_FALSE(access.allows(address("2001:db8:5::77")));
  EXPECT_TRUE(access.allows(address("198.51.101.77")));
  EXPECT_TRUE(access.allows(address("2001:db8:6::77")));
}

TEST(AccessControl, AnEmptyWhiteListLetsNobodyInAndAnEmptyBlackListEverybody) {
  for (const char* source : {"198.51.100.1", "2001:db8::1"}) {
    EXPECT_FALSE(AccessControl(AccessType::white, {}).allows(address(source)));
    EXPECT_TRUE(AccessControl(AccessType::black, {}).allows(address(source)));
  }
}

TEST(AccessControl, EverythingOfOneFamilyIsNothingOfTheOther) {
  const AccessControl v4(AccessType::white, prefixes({"0.0.0.0/0"}));
  const AccessControl v6(AccessType::white, prefixes({"::/0"}));
  for (const char* source : {"0.0.0.0", "127.255.255.255", "128.0.0.0", "255.255.255.255"}) {
    EXPECT_TRUE(v4.allows(address(source))) << source;
    EXPECT_FALSE(v6.allows(address(source))) << source;
  }
  for (const char* source : {"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0:0:0:0:ffff:ffff:ffff:ffff"}) {
    EXPECT_FALSE(v4.allows(address(source))) << source;
    EXPECT_TRUE(v6.allows(address(source))) << source;
  }
}

TEST(AccessControl, NeitherOrderNorOverlapNorNeighbourhoodOfTheEntriesMatters) {
  const AccessControl one(AccessType::black, prefixes({"10.0.0.0/8", "2001:db8::/32"}));
  const AccessControl many(AccessType::black, prefixes({"2001:db8:8000::/33", "10.128.0.0/9", "10.1.2.3", "10.0.0.0/9",
                                                        "10.1.2.3/16", "2001:db8::/33", "2001:db8:ffff:ffff::/64"}));
  EXPECT_EQ(one, many);
  EXPECT_NE(one, AccessControl(AccessType::white, prefixes({"10.0.0.0/8", "2001:db8::/32"})));
  EXPECT_NE(one, AccessControl(AccessType::black, prefixes({"10.0.0.0/8", "2001:db8::/31"})));
}

// Half of the networks lie close together, so that many touch or cover each other.
Prefix random_prefix(std::mt19937& random, bool v4) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(random());
  }
  const bool near = random() % 2 == 0;
  if (near) {
    std::fill_n(bytes.begin(), v4 ? 2 : 7, std::uint8_t{10});
  }
  const auto length = static_cast<std::uint8_t>(near ? (v4 ? 17 + random() % 16 : 57 + random() % 72)
                                                     : (v4 ? random() % 33 : random() % 129));
  return {v4 ? Address::from_v4(std::span(bytes).first<4>()) : Address::from_v6(bytes), length};
}

// An address at an end of the prefix, beside it, or anywhere in it.
Address probe_of(std::mt19937& random, const Prefix& prefix) {
  const Prefix network = prefix.network();
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(network.address.v6(), bytes.begin());
  const std::size_t family_start = network.address.is_v4() ? 96 : 0;
  const unsigned kind = random() % 4;
  for (std::size_t bit = family_start + network.length; bit < 128 && kind != 0; ++bit) {
    if (kind == 1 || random() % 2 == 0) {
      bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (0x80U >> (bit % 8)));
    }
  }
  if (kind == 3) {  // the next address, or the one before
    const int step = random() % 2 == 0 ? 1 : -1;
    for (std::size_t place = 16; place-- > family_start / 8;) {
      const int sum = bytes[place] + step;
      bytes[place] = static_cast<std::uint8_t>(sum);
      if (sum >= 0 && sum <= 255) {
        break;
      }
    }
  }
  return Address::from_v6(bytes);
}

TEST(AccessControl, AgreesWithTheDefinitionForRandomListsOfAThousandEntriesOfEachFamily) {
  std::mt19937 random(20261126);
  for (const std::size_t entries : {1U, 2U, 7U, 100U, 2'000U}) {
    std::vector<Prefix> list;
    for (std::size_t entry = 0; entry < entries; ++entry) {
      Prefix prefix = random_prefix(random, entry % 2 == 0);
      if (entries > 100 && prefix.length < 8) {
        prefix.length = 8;  // or all would be one range
      }
      list.push_back(prefix);
    }
    const AccessControl white(AccessType::white, list);
    const AccessControl black(AccessType::black, list);
    std::size_t listed = 0;
    for (int tries = 0; tries < 4'000; ++tries) {
      const bool of_the_list = random() % 2 == 0;
      const Address source =
          probe_of(random, of_the_list ? list[random() % list.size()] : random_prefix(random, random() % 2 == 0));
      const bool expected = std::ranges::any_of(list, [&](const Prefix& prefix) { return prefix.contains(source); });
      listed += expected ? 1U : 0U;
      ASSERT_EQ(white.allows(source), expected) << source.to_string();
      ASSERT_EQ(black.allows(source), !expected) << source.to_string();
    }
    EXPECT_GT(listed, 500U);
    EXPECT_LT(listed, 4'000U);
  }
}

}  // namespace
}  // namespace steelyard::service

// The hash sets that workers probe: listeners, server endpoints, addresses.
#include "dataplane/service/listener_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace steelyard::service {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Optional;

Address address(std::string_view text) {
  return Address::parse(text).value();
}
Address numbered(bool v6, std::uint32_t number) {
  std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
  for (std::size_t at = 0; at < 4; ++at) {
    bytes[15 - at] = static_cast<std::uint8_t>(number >> 8 * at);
  }
  return v6 ? Address::from_v6(bytes) : Address::from_v4(std::span(bytes).last<4>());
}
std::optional<ListenerId> not_found() {
  return std::nullopt;
}

TEST(ListenerIndex, FindsNothingWhenItIsEmpty) {
  EXPECT_EQ(ListenerIndex().find({address("192.0.2.10"), 80, Protocol::tcp}), not_found());
  EXPECT_EQ(ListenerIndex().find({}), not_found());
}

TEST(ListenerIndex, FindsAListenerByAllThreeOfItsKey) {
  const VipKey key{address("192.0.2.10"), 80, Protocol::tcp};
  const std::array<ListenerIndex::Entry, 1> entries{{{key, ListenerId{7}}}};
  const ListenerIndex index(entries);
  EXPECT_THAT(index.find(key), Optional(Eq(ListenerId{7})));
  EXPECT_EQ(index.find({address("192.0.2.11"), 80, Protocol::tcp}), not_found());
  EXPECT_EQ(index.find({address("192.0.2.10"), 81, Protocol::tcp}), not_found());
  EXPECT_EQ(index.find({address("192.0.2.10"), 80, Protocol::udp}), not_found());
}

TEST(ListenerIndex, KeepsTcpAndUdpOfOnePortApart) {
  const Address vip = address("192.0.2.10");
  const std::array<ListenerIndex::Entry, 2> entries{
      {{{vip, 53, Protocol::tcp}, ListenerId{1}}, {{vip, 53, Protocol::udp}, ListenerId{2}}}};
  const ListenerIndex index(entries);
  EXPECT_THAT(index.find({vip, 53, Protocol::tcp}), Optional(Eq(ListenerId{1})));
  EXPECT_THAT(index.find({vip, 53, Protocol::udp}), Optional(Eq(ListenerId{2})));
}

TEST(ListenerIndex, KeepsTheFamiliesApart) {
  const std::array<ListenerIndex::Entry, 2> entries{{{{address("192.0.2.10"), 80, Protocol::tcp}, ListenerId{1}},
                                                     {{address("::192.0.2.10"), 80, Protocol::tcp}, ListenerId{2}}}};
  const ListenerIndex index(entries);
  EXPECT_THAT(index.find({address("192.0.2.10"), 80, Protocol::tcp}), Optional(Eq(ListenerId{1})));
  EXPECT_THAT(index.find({address("::192.0.2.10"), 80, Protocol::tcp}), Optional(Eq(ListenerId{2})));
  EXPECT_EQ(index.find({address("64:ff9b::192.0.2.10"), 80, Protocol::tcp}), not_found());
}

TEST(ListenerIndex, DoesNotOverlookProtocolsThatAreNeither) {
  const std::array<ListenerIndex::Entry, 1> entries{{{{address("192.0.2.10"), 80, Protocol::tcp}, ListenerId{1}}}};
  EXPECT_EQ(ListenerIndex(entries).find({address("192.0.2.10"), 80, static_cast<Protocol>(132)}), not_found());
}

// Every listener that there can be, with ports and addresses that follow each other as configurations have them.
TEST(ListenerIndex, FindsEachOfAsManyAsThereCanBe) {
  std::vector<ListenerIndex::Entry> entries;
  for (std::size_t id = 1; id <= max_listeners; ++id) {
    const auto number = static_cast<std::uint32_t>(id);
    const auto port = static_cast<std::uint16_t>(1 + number % 512 / 2);
    entries.push_back(
        {{numbered(number % 3 == 0, 0x0a000000 + number / 512), port, number % 2 == 0 ? Protocol::tcp : Protocol::udp},
         ListenerId{static_cast<std::uint16_t>(id)}});
  }
  std::ranges::sort(entries, {}, &ListenerIndex::Entry::key);
  ASSERT_EQ(std::ranges::adjacent_find(entries, {}, &ListenerIndex::Entry::key), entries.end());
  const ListenerIndex index(entries);
  for (const ListenerIndex::Entry& entry : entries) {
    ASSERT_THAT(index.find(entry.key), Optional(Eq(entry.listener)));
    ASSERT_EQ(index.find({entry.key.address, 40'000, entry.key.protocol}), not_found());
  }
}

TEST(ListenerIndex, AgreesWithAMapOnRandomKeys) {
  std::mt19937 random(80);
  const auto draw = [&] {
    return VipKey{numbered(random() % 2 == 0, random() % 8), static_cast<std::uint16_t>(random() % 8),
                  random() % 2 == 0 ? Protocol::tcp : Protocol::udp};
  };
  for (int round = 0; round < 50; ++round) {
    std::map<VipKey, ListenerId> expected;
    for (std::uint16_t id = 1; id <= round * 2; ++id) {
      expected.try_emplace(draw(), ListenerId{id});
    }
    std::vector<ListenerIndex::Entry> entries;
    std::ranges::transform(expected, std::back_inserter(entries), [](const auto& pair) {
      return ListenerIndex::Entry{pair.first, pair.second};
    });
    const ListenerIndex index(entries);
    for (int probe = 0; probe < 200; ++probe) {
      const VipKey key = draw();
      const auto known = expected.find(key);
      ASSERT_EQ(index.find(key), known == expected.end() ? not_found() : known->second);
    }
  }
}

TEST(EndpointSet, ContainsWhatItWasGivenHoweverOften) {
  const VipKey endpoint{address("10.0.0.1"), 8080, Protocol::tcp};
  const std::array keys{endpoint, endpoint, VipKey{address("10.0.0.2"), 8080, Protocol::tcp}, endpoint};
  const EndpointSet set(keys);
  EXPECT_TRUE(set.contains(endpoint));
  EXPECT_TRUE(set.contains(keys[2]));
  EXPECT_FALSE(set.contains({address("10.0.0.1"), 8080, Protocol::udp}));
  EXPECT_FALSE(set.contains({address("10.0.0.1"), 8081, Protocol::tcp}));
  EXPECT_FALSE(set.contains({address("10.0.0.3"), 8080, Protocol::tcp}));
  EXPECT_FALSE(EndpointSet().contains(endpoint));
}

TEST(AddressSet, ContainsAddressesAndListsEachOnce) {
  const std::array addresses{address("192.0.2.10"), address("2001:db8::10"), address("192.0.2.10"), address("0.0.0.0")};
  const AddressSet set(addresses);
  EXPECT_TRUE(set.contains(address("192.0.2.10")));
  EXPECT_TRUE(set.contains(address("2001:db8::10")));
  EXPECT_TRUE(set.contains(address("0.0.0.0")));
  EXPECT_FALSE(set.contains(address("192.0.2.11")));
  EXPECT_FALSE(set.contains(address("::192.0.2.10")));
  EXPECT_THAT(set.all(), ElementsAre(address("0.0.0.0"), address("192.0.2.10"), address("2001:db8::10")));
}

TEST(AddressSet, DoesNotContainTheUnspecifiedAddressUnlessItWasGiven) {
  EXPECT_FALSE(AddressSet().contains(Address{}));
  EXPECT_FALSE(AddressSet().contains(address("0.0.0.0")));
  EXPECT_THAT(AddressSet().all(), IsEmpty());
}

TEST(AddressSet, FindsEachOfMany) {
  std::vector<Address> addresses;
  for (std::uint32_t number = 0; number < 10'000; ++number) {
    addresses.push_back(numbered(number % 2 == 0, 0x0a000000 + number));
  }
  const AddressSet set(addresses);
  EXPECT_EQ(set.all().size(), addresses.size());
  for (std::uint32_t number = 0; number < 20'000; ++number) {
    ASSERT_EQ(set.contains(numbered(number % 2 == 0, 0x0a000000 + number)), number < addresses.size()) << number;
  }
}

}  // namespace
}  // namespace steelyard::service

// Full NAT's ports: each worker's share is a partition of the range, in an order that is not the natural one, and a
// port that was given back is the last to be given out again.
#include "dataplane/l4/local_ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace steelyard::l4 {
namespace {

using testing::Each;
using testing::SizeIs;

std::vector<std::uint16_t> take_all(LocalPorts& ports) {
  std::vector<std::uint16_t> taken;
  while (const auto port = ports.allocate()) {
    taken.push_back(*port);
  }
  return taken;
}

std::vector<service::Address> addresses(std::initializer_list<const char*> texts) {
  std::vector<service::Address> parsed;
  for (const char* text : texts) {
    parsed.push_back(service::Address::parse(text).value());
  }
  return parsed;
}

TEST(LocalPorts, WorkersShareTheRangeByPortModuloWorkers) {
  std::set<std::uint16_t> all;
  for (std::uint16_t worker = 0; worker < 3; ++worker) {
    LocalPorts ports({1'024, 1'123}, {worker}, 3, 1);
    const auto taken = take_all(ports);
    EXPECT_EQ(taken.size(), ports.total());
    for (const std::uint16_t port : taken) {
      EXPECT_EQ(port % 3, worker);
      EXPECT_TRUE(ports.contains(port));
    }
    all.insert(taken.begin(), taken.end());
  }
  EXPECT_THAT(all, SizeIs(100));
  EXPECT_EQ(*all.begin(), 1'024);
  EXPECT_EQ(*all.rbegin(), 1'123);
}

TEST(LocalPorts, TheLargestRangeGivesOutEveryPortOnce) {
  LocalPorts ports({1'024, 65'535}, {0}, 1, 1);
  const auto taken = take_all(ports);
  EXPECT_EQ(std::set(taken.begin(), taken.end()).size(), 64'512U);
  EXPECT_EQ(ports.available(), 0U);
}

// RFC 6056 section 3.1: an observer must not guess the next port from the last.
TEST(LocalPorts, TheOrderIsShuffledAndDependsOnTheSeed) {
  LocalPorts one({1'024, 2'023}, {0}, 1, 1);
  LocalPorts other({1'024, 2'023}, {0}, 1, 2);
  const auto order = take_all(one);
  EXPECT_NE(order, take_all(other));
  std::size_t neighbours = 0;
  for (std::size_t place = 1; place < order.size(); ++place) {
    neighbours += order[place] == order[place - 1] + 1 ? 1U : 0U;
  }
  EXPECT_LT(neighbours, 10U);
}

TEST(LocalPorts, APortThatWasGivenBackComesLast) {
  LocalPorts ports({1'000, 1'009}, {0}, 1, 1);
  const std::uint16_t first = ports.allocate().value();
  ports.release(first);
  EXPECT_EQ(ports.available(), 10U);
  for (int others = 0; others < 9; ++others) {
    EXPECT_NE(ports.allocate(), first);
  }
  EXPECT_EQ(ports.allocate(), first);
  EXPECT_FALSE(ports.allocate());
}

TEST(LocalPorts, OverManyTurnsNoPortIsGivenOutTwice) {
  LocalPorts ports({1'000, 1'006}, {0}, 1, 1);
  std::set<std::uint16_t> used;
  for (int turn = 0; turn < 1'000; ++turn) {
    if (turn % 5 < 3) {
      if (const auto port = ports.allocate()) {
        ASSERT_TRUE(used.insert(*port).second);
      }
    } else if (!used.empty()) {
      const auto victim = turn % 2 == 0 ? used.begin() : std::prev(used.end());
      ports.release(*victim);
      used.erase(victim);
    }
    ASSERT_EQ(ports.available(), 7 - used.size());
  }
}

TEST(LocalPorts, AWorkerWithoutAShareHasNone) {
  LocalPorts ports({1'000, 1'001}, {5}, 8, 1);
  EXPECT_EQ(ports.total(), 0U);
  EXPECT_FALSE(ports.allocate());
}

TEST(LocalPorts, HistoryIsKeptPortByPort) {
  LocalPorts ports({1'000, 1'009}, {0}, 1, 1);
  EXPECT_EQ(ports.history(1'000).flow.value, PortHistory::no_flow);
  ports.history(1'000).server = 7;
  ports.history(1'009).server = 8;
  EXPECT_EQ(ports.history(1'000).server, 7U);
  EXPECT_EQ(ports.history(1'001).server, 0U);
  EXPECT_EQ(ports.history(1'009).server, 8U);
}

TEST(LocalAddressPool, AddressesOfAFamilyTakeTurns) {
  LocalAddressPool pool(addresses({"10.0.0.1", "2001:db8::1", "10.0.0.2"}), {1'000, 1'004}, {0}, 1, 1);
  std::array<int, 3> taken{};
  for (int connection = 0; connection < 10; ++connection) {
    ++taken.at(pool.allocate(false).value().address);
  }
  EXPECT_THAT(taken, testing::ElementsAre(5, 0, 5));
  EXPECT_FALSE(pool.allocate(false));
  EXPECT_EQ(pool.allocate(true).value().address, 1U);
}

TEST(LocalAddressPool, AnExhaustedAddressIsPassedOver) {
  LocalAddressPool pool(addresses({"10.0.0.1", "10.0.0.2"}), {1'000, 1'004}, {0}, 1, 1);
  take_all(pool.ports(0));
  std::vector<std::size_t> from;
  while (const auto choice = pool.allocate(false)) {
    from.push_back(choice->address);
  }
  EXPECT_THAT(from, SizeIs(5));
  EXPECT_THAT(from, Each(1U));
}

TEST(LocalAddressPool, WithoutAnAddressOfTheFamilyThereIsNoPort) {
  LocalAddressPool pool(addresses({"10.0.0.1"}), {1'000, 1'004}, {0}, 1, 1);
  EXPECT_FALSE(pool.allocate(true));
}

TEST(LocalAddressPool, AnAddressIsFoundByItself) {
  LocalAddressPool pool(addresses({"10.0.0.1", "2001:db8::1"}), {1'000, 1'004}, {0}, 1, 1);
  EXPECT_EQ(pool.find(service::Address::parse("2001:db8::1").value()), 1U);
  EXPECT_FALSE(pool.find(service::Address::parse("10.0.0.2").value()));
}

TEST(LocalAddressPool, AddressesAreShuffledDifferently) {
  LocalAddressPool pool(addresses({"10.0.0.1", "10.0.0.2"}), {1'000, 1'099}, {0}, 1, 1);
  EXPECT_NE(take_all(pool.ports(0)), take_all(pool.ports(1)));
}

}  // namespace
}  // namespace steelyard::l4

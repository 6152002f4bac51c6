// sch and tch: shares, how many clients a change moves, and that nothing but servers and client matters.
#include "dataplane/schedule/maglev.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/schedule/bench_of_servers.h"

namespace steelyard::schedule {
namespace {

using service::Scheduler;
using testing::Each;

// Servers by number, each with an address of its own, and their weights.
struct Group {
  std::vector<std::uint32_t> numbers;
  std::vector<std::uint32_t> weights;

  static Group of(std::size_t servers, std::uint32_t weight = 100) {
    Group group{std::vector<std::uint32_t>(servers), std::vector<std::uint32_t>(servers, weight)};
    std::iota(group.numbers.begin(), group.numbers.end(), 0U);
    return group;
  }
  static Group of_weights(const std::vector<std::uint32_t>& weights) {
    Group group = of(weights.size());
    group.weights = weights;
    return group;
  }
  static Group mixed(std::size_t servers) {
    Group group = of(servers);
    std::mt19937 random(7);
    std::ranges::generate(group.weights, [&random] { return 1 + static_cast<std::uint32_t>(random() % 100); });
    return group;
  }
  [[nodiscard]] Group without(std::size_t place) const {
    Group group = *this;
    group.numbers.erase(group.numbers.begin() + static_cast<std::ptrdiff_t>(place));
    group.weights.erase(group.weights.begin() + static_cast<std::ptrdiff_t>(place));
    return group;
  }
  [[nodiscard]] Group with_weight(std::size_t place, std::uint32_t weight) const {
    Group group = *this;
    group.weights[place] = weight;
    return group;
  }
  [[nodiscard]] double share(std::size_t place) const {
    return weights[place] / std::accumulate(weights.begin(), weights.end(), 0.0);
  }
};

service::Address address(std::uint32_t number) {
  return service::Address::from_v4(std::array<std::uint8_t, 4>{10, static_cast<std::uint8_t>(number >> 16U),
                                                               static_cast<std::uint8_t>(number >> 8U),
                                                               static_cast<std::uint8_t>(number)});
}

std::vector<service::Server> servers_of(const Group& group) {
  std::vector<service::Server> servers;
  for (const std::uint32_t number : group.numbers) {
    service::Server& server = servers.emplace_back();
    server.address = address(number);
    server.port = 8'080;
  }
  return servers;
}

ClientKey client(std::uint32_t number) {
  return client_key(Scheduler::sch, address(0x800000U + number), 0, {}, 0);
}

// A group that is ready to be asked; answers are the servers' numbers.
class Placement {
 public:
  explicit Placement(const Group& group)
      : group_(group),
        table_(build_hash_table(servers_of(group))),
        memory_(HashPlacement::words(group.numbers.size())) {
    view().rebuild(group_.weights);
  }
  [[nodiscard]] std::uint32_t pick(ClientKey key) { return group_.numbers[view().pick(group_.weights, key)]; }
  [[nodiscard]] std::uint32_t pick(std::uint32_t number) { return pick(client(number)); }
  [[nodiscard]] HashPlacement view() { return {table_, memory_}; }
  [[nodiscard]] const service::HashTable& table() const { return table_; }
  [[nodiscard]] const std::vector<std::uint32_t>& weights() const { return group_.weights; }

 private:
  Group group_;
  service::HashTable table_;
  std::vector<std::uint32_t> memory_;
};

std::vector<std::uint32_t> count(const Group& group, std::uint32_t clients) {
  Placement placement(group);
  std::vector<std::uint32_t> counts(group.numbers.size());
  for (std::uint32_t number = 0; number < clients; ++number) {
    ++counts[placement.pick(number)];
  }
  return counts;
}

// The part of all clients that have another server in the second group, and the part of those who had to move: their
// server has lost weight, or their new one has won some.
struct Moved {
  double all = 0;
  double in_vain = 0;
};
Moved moved(const Group& before, const Group& after, std::uint32_t clients) {
  Placement first(before);
  Placement second(after);
  Moved result;
  const auto weight = [](const Group& group, std::uint32_t number) {
    const auto found = std::ranges::find(group.numbers, number);
    return found == group.numbers.end() ? 0 : group.weights[static_cast<std::size_t>(found - group.numbers.begin())];
  };
  for (std::uint32_t number = 0; number < clients; ++number) {
    const std::uint32_t from = first.pick(number);
    const std::uint32_t to = second.pick(number);
    if (from != to) {
      result.all += 1.0 / clients;
      if (weight(after, from) == weight(before, from) && weight(after, to) == weight(before, to)) {
        result.in_vain += 1.0 / clients;
      }
    }
  }
  return result;
}

TEST(Maglev, SharesAreThoseOfTheWeightsWithinTwoPercent) {
  for (const Group& group :
       {Group::of(2), Group::of(3), Group::of(5), Group::of(10), Group::of(16, 1), Group::of_weights({100, 50, 50}),
        Group::of_weights({3, 2, 1}), Group::of_weights({20, 30, 40, 50, 60})}) {
    constexpr std::uint32_t clients = 400'000;  // the least of the shares above is 25,000: 2% are three deviations
    const auto counts = count(group, clients);
    for (std::size_t place = 0; place < counts.size(); ++place) {
      EXPECT_NEAR(counts[place], clients * group.share(place), 0.02 * clients * group.share(place))
          << place << " of " << counts.size();
    }
  }
}

// Where a single share is too small to be measured: all deviations together are as large as chance makes them.
TEST(Maglev, SharesOfLargeGroupsDeviateAsChanceDoesAndNoMore) {
  for (const Group& group : {Group::of(100), Group::mixed(100), Group::of(1'000), Group::mixed(1'000), Group::of(1'025),
                             Group::mixed(5'000)}) {
    constexpr std::uint32_t clients = 500'000;
    const auto counts = count(group, clients);
    double chi_square = 0;
    for (std::size_t place = 0; place < counts.size(); ++place) {
      const double expected = clients * group.share(place);
      chi_square += (counts[place] - expected) * (counts[place] - expected) / expected;
    }
    const auto freedom = static_cast<double>(counts.size() - 1);
    EXPECT_LT(chi_square, freedom + 3.5 * std::sqrt(2 * freedom)) << counts.size();
  }
}

TEST(Maglev, EveryServerHasTheSameNumberOfSlotsInAPrimeTableOfWhichAQuarterIsTaken) {
  for (const std::size_t servers : {1U, 2U, 100U, 1'000U, 1'024U, 1'025U, 5'000U, 20'000U}) {
    const service::HashTable table = build_hash_table(servers_of(Group::of(servers)));
    std::vector<std::uint32_t> counts(servers);
    for (const std::uint16_t slot : table.slots) {
      if (slot != service::HashTable::free_slot) {
        ++counts.at(slot);
      }
    }
    EXPECT_THAT(counts, Each(16U));
    EXPECT_LE(4 * 16 * servers, table.slots.size() + 3);
  }
  EXPECT_EQ(table_size(1'000), 65'537U);
  EXPECT_EQ(table_size(service::HashTable::max_servers), 4'194'301U);
}

TEST(Maglev, OneChangeOfEqualServersMovesAtMostTwoOfNClients) {
  for (const std::size_t servers : {2U, 3U, 5U, 10U, 100U, 1'000U}) {
    const Group all = Group::of(servers);
    constexpr std::uint32_t clients = 100'000;
    const double limit = 2.0 / static_cast<double>(servers);
    for (const std::size_t place : {std::size_t{0}, servers / 2, servers - 1}) {
      EXPECT_LE(moved(all, all.with_weight(place, 0), clients).all, limit) << servers;  // down; up is the way back
      EXPECT_LE(moved(all, all.without(place), clients).all, limit) << servers;         // added is the way back
      EXPECT_LE(moved(all, all.with_weight(place, 50), clients).all, limit) << servers;
      EXPECT_LE(moved(all, all.with_weight(place, 1), clients).all, limit) << servers;
    }
  }
}

// Of a server with more than the mean share all that it has must move, whatever the method.
TEST(Maglev, OneChangeOfUnequalServersMovesAtMostTwiceTheirShare) {
  std::mt19937 random(11);
  for (const std::size_t servers : {2U, 3U, 5U, 10U, 100U, 1'000U}) {
    const Group all = Group::mixed(servers);
    constexpr std::uint32_t clients = 100'000;
    for (int round = 0; round < 3; ++round) {
      const std::size_t place = random() % servers;
      const double limit = 2 * std::max(all.share(place), 1.0 / static_cast<double>(servers));
      EXPECT_LE(moved(all, all.with_weight(place, 0), clients).all, limit) << servers;
      EXPECT_LE(moved(all, all.without(place), clients).all, limit) << servers;
      EXPECT_LE(moved(all, all.with_weight(place, all.weights[place] / 2), clients).all, limit) << servers;
    }
  }
}

// Weight 1 is refused so often that all clients draw lots: the bound is closest there.
TEST(Maglev, TheBoundHoldsForSmallWeights) {
  for (const std::size_t servers : {10U, 100U}) {
    const Group all = Group::of(servers, 1);
    EXPECT_LE(moved(all, all.without(servers / 2), 100'000).all, 2.0 / static_cast<double>(servers));
    EXPECT_LE(moved(all, all.with_weight(servers / 2, 0), 100'000).all, 2.0 / static_cast<double>(servers));
  }
  const Group many = Group::of(1'000, 1);
  EXPECT_LE(moved(many, many.without(500), 1'000'000).all, 2.0 / 1'000);
}

TEST(Maglev, InALargeGroupAServerThatGoesDownMovesAlmostNobodyElsesClients) {
  const Group all = Group::of(1'000);
  const Moved down = moved(all, all.with_weight(17, 0), 1'000'000);
  EXPECT_NEAR(down.all, 1.0 / 1'000, 0.1 / 1'000);
  EXPECT_LT(down.in_vain, 0.01 / 1'000);
  const Moved removed = moved(all, all.without(17), 1'000'000);
  EXPECT_LT(removed.all, 1.5 / 1'000);
}

TEST(Maglev, AServerThatComesBackHasItsOldClientsAgain) {
  for (const std::size_t servers : {2U, 10U, 200U}) {
    const Group all = Group::of(servers);
    Placement placement(all);
    std::vector<std::uint32_t> before;
    for (std::uint32_t number = 0; number < 20'000; ++number) {
      before.push_back(placement.pick(number));
    }
    auto weights = all.weights;
    weights[1] = 0;
    placement.view().rebuild(weights);
    placement.view().rebuild(all.weights);
    for (std::uint32_t number = 0; number < 20'000; ++number) {
      ASSERT_EQ(placement.pick(number), before[number]);
    }
  }
}

TEST(Maglev, TheOrderOfTheServersDoesNotMatter) {
  std::mt19937 random(5);
  for (const std::size_t servers : {2U, 10U, 300U}) {
    Group group = Group::mixed(servers);
    Placement first(group);
    for (std::size_t place = servers; place > 1; --place) {
      const std::size_t other = random() % place;
      std::swap(group.numbers[place - 1], group.numbers[other]);
      std::swap(group.weights[place - 1], group.weights[other]);
    }
    Placement second(group);
    for (std::uint32_t number = 0; number < 20'000; ++number) {
      ASSERT_EQ(first.pick(number), second.pick(number));
    }
  }
}

// Written down: another version must place clients alike, or an upgrade loses their connections.
TEST(Maglev, PlacesAreTheSameInEveryProcessAndVersion) {
  Placement hundred(Group::mixed(100));
  Placement three(Group::of(3));
  std::vector<std::uint32_t> picked;
  for (std::uint32_t number = 0; number < 8; ++number) {
    picked.push_back(hundred.pick(number));
    picked.push_back(three.pick(number));
  }
  EXPECT_THAT(picked, testing::ElementsAre(35, 1, 49, 2, 8, 0, 83, 0, 70, 2, 87, 0, 76, 0, 64, 1));
  EXPECT_EQ(client(1).value, 3358947273597090783U);
  EXPECT_EQ(client_key(Scheduler::tch, address(1), 2, address(3), 4).value, 14759007536311906304U);
}

TEST(Maglev, SchLooksAtTheClientsAddressAloneAndTchAtAllFour) {
  const auto key = [](Scheduler kind, std::uint32_t from, std::uint16_t port, std::uint32_t to,
                      std::uint16_t vip_port) {
    return client_key(kind, address(from), port, address(to), vip_port).value;
  };
  EXPECT_EQ(key(Scheduler::sch, 1, 2, 3, 4), key(Scheduler::sch, 1, 20, 30, 40));
  EXPECT_NE(key(Scheduler::sch, 1, 2, 3, 4), key(Scheduler::sch, 10, 2, 3, 4));
  const std::set<std::uint64_t> different{key(Scheduler::tch, 1, 2, 3, 4),  key(Scheduler::tch, 10, 2, 3, 4),
                                          key(Scheduler::tch, 1, 20, 3, 4), key(Scheduler::tch, 1, 2, 30, 4),
                                          key(Scheduler::tch, 1, 2, 3, 40), key(Scheduler::tch, 3, 2, 1, 4)};
  EXPECT_EQ(different.size(), 6U);
}

TEST(Maglev, TheOnlyUsableServerGetsEverybody) {
  for (const std::size_t servers : {1U, 2U, 1'000U}) {
    Group group = Group::of(servers, 0);
    group.weights.back() = 1;
    const auto counts = count(group, 10'000);
    EXPECT_EQ(counts.back(), 10'000U);
  }
}

TEST(Maglev, AnotherServerIsAlwaysTheSameOneAndTheyAllGetTheirTurn) {
  Placement placement(Group::of_weights({100, 0, 100, 1, 100}));
  for (std::uint32_t number = 0; number < 1'000; ++number) {
    std::vector<std::size_t> tried{placement.pick(number)};
    while (const auto other = placement.view().pick_other(placement.weights(), client(number), tried)) {
      EXPECT_EQ(placement.view().pick_other(placement.weights(), client(number), tried), other);
      tried.push_back(*other);
      ASSERT_LE(tried.size(), 4U);
    }
    EXPECT_THAT(tried, testing::UnorderedElementsAre(0, 2, 3, 4));
  }
}

TEST(Maglev, AllWorkersAgreeAndSlowStartChangesNothing) {
  for (const auto kind : {Scheduler::sch, Scheduler::tch}) {
    BenchOfServers servers(kind, {100, 50, 50, 20}, 2);
    servers.listener().slow_start = std::chrono::seconds{60};
    std::vector<std::optional<std::size_t>> picked;
    for (std::uint32_t number = 0; number < 1'000; ++number) {
      servers.client = client(number);
      picked.push_back(servers.pick(0));
      ASSERT_EQ(servers.pick(1), picked.back());
    }
    servers.set_up(0, false);
    std::ignore = servers.pick(0);
    servers.set_up(0, true, servers.now_ns);
    for (std::uint32_t number = 0; number < 1'000; ++number) {
      servers.client = client(number);
      ASSERT_EQ(servers.pick(0), picked[number]);
    }
  }
}

}  // namespace
}  // namespace steelyard::schedule

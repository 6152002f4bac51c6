// What a scheduler does when health, servers or memory change under it: who is usable, and what it remembers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <random>
#include <set>

#include "tests/unit/schedule/bench_of_servers.h"

namespace steelyard::schedule {
namespace {

using service::Scheduler;
using testing::Each;
using testing::ElementsAre;

class EveryScheduler : public testing::TestWithParam<service::Scheduler> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EveryScheduler,
                         testing::Values(service::Scheduler::wrr, service::Scheduler::wlc, service::Scheduler::rr,
                                         service::Scheduler::sch, service::Scheduler::tch));

TEST_P(EveryScheduler, PicksNobodyWhenNobodyIsUsable) {
  BenchOfServers servers(GetParam(), {100, 0});
  servers.set_up(0, false);
  EXPECT_EQ(servers.pick(), std::nullopt);
  EXPECT_EQ(servers.scheduler().pick_other(servers.listener(), {}), std::nullopt);
  servers.set_up(0, true);
  EXPECT_EQ(servers.pick(), 0U);
}

TEST_P(EveryScheduler, ASecondaryTakesOverOnlyWhileThePrimaryIsUnusable) {
  BenchOfServers servers(GetParam(), {100, 100});
  servers.listener().primary_secondary = true;
  const auto all_go_to = [&servers](std::size_t server) {
    for (int done = 0; done < 100; ++done) {
      ++servers.client.value;
      const auto picked = servers.pick();
      ASSERT_EQ(picked, server);
      servers.open(*picked);
    }
  };
  all_go_to(0);
  EXPECT_EQ(servers.scheduler().effective_weight(servers.listener(), 1), 0U);
  EXPECT_EQ(servers.scheduler().pick_other(servers.listener(), std::array<std::size_t, 1>{0}, servers.client),
            std::nullopt);
  servers.set_up(0, false);
  all_go_to(1);
  servers.set_up(0, true);
  all_go_to(0);
  servers.set_up(1, false);
  all_go_to(0);
  servers.set_up(0, false);
  EXPECT_EQ(servers.pick(), std::nullopt);
  servers.set_up(1, true);
  all_go_to(1);
}

TEST_P(EveryScheduler, ASecondaryTakesOverFromAPrimaryWithoutWeight) {
  BenchOfServers servers(GetParam(), {0, 100});
  servers.listener().primary_secondary = true;
  EXPECT_EQ(servers.pick(), 1U);
}

TEST_P(EveryScheduler, BackupsTakeOverOnlyWhileNobodyElseCan) {
  BenchOfServers servers(GetParam(), {100, 50, 100, 100});
  servers.listener().servers[2].backup = servers.listener().servers[3].backup = true;
  const auto picked = [&servers] {
    std::set<std::size_t> all;
    for (int done = 0; done < 200; ++done) {
      ++servers.client.value;
      const auto server = servers.pick();
      if (!server) {
        return std::set<std::size_t>{};
      }
      all.insert(*server);
      servers.open(*server);
    }
    return all;
  };
  EXPECT_EQ(picked(), (std::set<std::size_t>{0, 1}));
  EXPECT_EQ(servers.scheduler().effective_weight(servers.listener(), 2), 0U);
  servers.set_up(0, false);
  EXPECT_EQ(picked(), (std::set<std::size_t>{1}));
  servers.set_up(1, false);
  EXPECT_EQ(picked(), (std::set<std::size_t>{2, 3}));
  servers.set_up(3, false);
  EXPECT_EQ(picked(), (std::set<std::size_t>{2}));
  servers.set_up(0, true);
  EXPECT_EQ(picked(), (std::set<std::size_t>{0}));
}

TEST_P(EveryScheduler, PicksNobodyFromNoServers) {
  BenchOfServers servers(GetParam(), {});
  EXPECT_EQ(servers.pick(), std::nullopt);
  EXPECT_EQ(servers.scheduler().find(servers.listener(), {0}), std::nullopt);
}

TEST_P(EveryScheduler, NeverPicksAServerOfWeightZeroOrOneThatIsDown) {
  BenchOfServers servers(GetParam(), {10, 0, 20, 30});
  servers.set_up(2, false);
  for (int done = 0; done < 1'000; ++done) {
    ++servers.client.value;
    const auto server = servers.pick().value();
    EXPECT_TRUE(server == 0 || server == 3) << server;
    servers.open(server);
  }
}

TEST_P(EveryScheduler, SeesEveryHealthFlipAtTheNextPick) {
  BenchOfServers servers(GetParam(), std::vector<std::uint8_t>(20, 50));
  std::vector<bool> up(20, true);
  std::mt19937 random(3);
  for (int done = 0; done < 20'000; ++done) {
    if (random() % 4 == 0) {
      const std::size_t server = random() % up.size();
      up[server] = !up[server];
      servers.set_up(server, up[server]);
    }
    ++servers.client.value;
    const auto picked = servers.pick();
    ASSERT_EQ(picked.has_value(), std::ranges::count(up, true) > 0);
    ASSERT_TRUE(!picked || up[*picked]);
  }
}

TEST_P(EveryScheduler, RebuildsOnlyWhenSomethingChanged) {
  BenchOfServers servers(GetParam(), {1, 2, 3});
  servers.count_picks(100);
  EXPECT_EQ(servers.rebuilds, 1U);
  servers.set_up(1, true);
  servers.count_picks(100);
  EXPECT_EQ(servers.rebuilds, 2U);
  servers.replace_servers(GetParam(), {1, 2});
  servers.count_picks(100);
  EXPECT_EQ(servers.rebuilds, 3U);
}

TEST_P(EveryScheduler, IsNotFooledByFreshMemoryAtAnOldAddress) {
  BenchOfServers servers(GetParam(), {1, 2, 3});
  servers.count_picks(10);
  const std::size_t words = scratch_words(GetParam(), 3);
  std::fill_n(servers.listener().scratch[0].get(), words, 0U);
  EXPECT_FALSE(servers.scheduler().is_current(servers.listener(), servers.now_ns));
  servers.count_picks(10);
}

TEST_P(EveryScheduler, TakesAListenerThatShrinksGrowsOrChangesItsScheduler) {
  BenchOfServers servers(GetParam(), std::vector<std::uint8_t>(100, 7));
  servers.count_picks(55);
  for (const service::Scheduler kind : {service::Scheduler::wlc, service::Scheduler::wrr, service::Scheduler::rr}) {
    servers.replace_servers(kind, {3});
    EXPECT_THAT(servers.count_picks(5), ElementsAre(5));
    servers.replace_servers(kind, std::vector<std::uint8_t>(100, 9));
    EXPECT_THAT(servers.count_picks(100), Each(1));
  }
}

TEST_P(EveryScheduler, OffersAnotherServerThatIsNotExcluded) {
  BenchOfServers servers(GetParam(), {100, 50, 0, 50});
  const std::size_t first = servers.pick().value();
  std::vector<std::size_t> excluded{first};
  const std::size_t second = servers.scheduler().pick_other(servers.listener(), excluded).value();
  EXPECT_NE(second, first);
  excluded.push_back(second);
  const std::size_t third = servers.scheduler().pick_other(servers.listener(), excluded).value();
  excluded.push_back(third);
  EXPECT_THAT(excluded, testing::UnorderedElementsAre(0, 1, 3));
  EXPECT_EQ(servers.scheduler().pick_other(servers.listener(), excluded), std::nullopt);
}

TEST_P(EveryScheduler, FindsServersByIdWhateverTheirOrder) {
  BenchOfServers servers(GetParam(), {1, 2, 3, 4});
  std::ranges::reverse(servers.listener().servers);
  std::ignore = servers.pick();
  for (std::uint32_t id = 0; id < 4; ++id) {
    EXPECT_EQ(servers.scheduler().find(servers.listener(), {id}), 3 - id);
  }
  EXPECT_EQ(servers.scheduler().find(servers.listener(), {4}), std::nullopt);
}

TEST(Positions, RoundRobinContinuesAfterAReload) {
  BenchOfServers servers(Scheduler::rr, {1, 1, 1, 1});
  servers.count_picks(2);
  servers.replace_servers(Scheduler::rr, {1, 1, 1, 1, 1});
  EXPECT_EQ(servers.pick(), 2U);
}

TEST(Positions, HealthFlipsThatChangeNothingDoNotDisturbTheSequence) {
  BenchOfServers disturbed(Scheduler::wrr, {5, 3, 3, 1});
  BenchOfServers undisturbed(Scheduler::wrr, {5, 3, 3, 1});
  for (int done = 0; done < 100; ++done) {
    disturbed.set_up(0, true);
    ASSERT_EQ(disturbed.pick(), undisturbed.pick()) << done;
  }
}

TEST(Positions, ReloadsThatLeaveTheWeightsAloneDoNotDisturbTheSequence) {
  const std::vector<std::uint8_t> weights{100, 50, 50, 7, 1};
  for (const auto kind : {Scheduler::wrr, Scheduler::rr}) {
    BenchOfServers reloaded(kind, weights, 2);
    BenchOfServers undisturbed(kind, weights, 2);
    for (int done = 0; done < 2'000; ++done) {
      if (done % 3 == 0) {
        reloaded.replace_servers(kind, weights);
      }
      ASSERT_EQ(reloaded.pick(1), undisturbed.pick(1)) << done;
    }
  }
}

TEST(Positions, WeightedSharesSurviveReloadsThatAddAndRemoveServers) {
  BenchOfServers servers(Scheduler::wrr, {100, 50, 50});
  std::vector<std::uint32_t> counts(5);
  for (int done = 0; done < 10'000; ++done) {
    if (done % 5 == 0) {
      servers.replace_servers(Scheduler::wrr, done % 10 == 0 ? std::vector<std::uint8_t>{100, 50, 50}
                                                             : std::vector<std::uint8_t>{100, 50, 50, 50, 20});
    }
    ++counts[servers.pick().value()];
  }
  const double unit = (10'000.0 - counts[3] - counts[4]) / 200;
  EXPECT_NEAR(counts[0], 100 * unit, 100);
  EXPECT_NEAR(counts[1], 50 * unit, 100);
  EXPECT_NEAR(counts[2], 50 * unit, 100);
}

TEST(Positions, ZeroedMemoryIsAScheduler) {
  using Object = steelyard::schedule::Scheduler;
  BenchOfServers zeroed(Scheduler::wrr, {5, 3, 3, 1}, 2);
  BenchOfServers constructed(Scheduler::wrr, {5, 3, 3, 1}, 2);
  zeroed.scheduler(1) = std::bit_cast<Object>(std::array<unsigned char, sizeof(Object)>{});
  for (int done = 0; done < 24; ++done) {
    ASSERT_EQ(zeroed.pick(1), constructed.pick(1)) << done;
  }
}

TEST(Positions, AFlappingServerDoesNotSkewTheSharesOfTheOthers) {
  BenchOfServers servers(Scheduler::wrr, {100, 50, 50, 20, 10});
  std::vector<std::uint32_t> counts(5);
  for (int done = 0; done < 20'000; ++done) {
    if (done % 7 == 0) {
      servers.set_up(3, done % 2 == 0);
    }
    ++counts[servers.pick().value()];
  }
  const double unit = (20'000.0 - counts[3]) / 210;
  EXPECT_NEAR(counts[0], 100 * unit, 200);
  EXPECT_NEAR(counts[1], 50 * unit, 200);
  EXPECT_NEAR(counts[2], 50 * unit, 200);
  EXPECT_NEAR(counts[4], 10 * unit, 200);
}

}  // namespace
}  // namespace steelyard::schedule

// wlc against an oracle that looks at every server, through arrivals, departures, flips, reloads and stale counts.
#include "dataplane/schedule/least_connections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "tests/unit/schedule/bench_of_servers.h"

namespace steelyard::schedule {
namespace {

constexpr auto wlc = service::Scheduler::wlc;

// The rule in its plainest form: the usable server with the least (active + 1) / weight, then the one whose last pick
// is longest ago. A server that was never picked counts from its place in the list.
struct Oracle {
  explicit Oracle(std::vector<std::uint8_t> weights_of_servers)
      : weights(std::move(weights_of_servers)), active(weights.size()), up(weights.size(), true), last(weights.size()) {
    for (std::size_t server = 0; server < last.size(); ++server) {
      last[server] = server;
    }
    clock = last.size();
  }
  std::optional<std::size_t> pick() {
    std::optional<std::size_t> best;
    for (std::size_t server = 0; server < weights.size(); ++server) {
      if (up[server] && weights[server] > 0 && (!best || better(server, *best))) {
        best = server;
      }
    }
    if (best) {
      last[*best] = ++clock;
    }
    return best;
  }
  [[nodiscard]] bool better(std::size_t left, std::size_t right) const {
    const auto left_cost = (active[left] + 1) * weights[right];
    const auto right_cost = (active[right] + 1) * weights[left];
    return left_cost != right_cost ? left_cost < right_cost : last[left] < last[right];
  }

  std::vector<std::uint8_t> weights;
  std::vector<std::uint64_t> active;
  std::vector<bool> up;
  std::vector<std::uint64_t> last;
  std::uint64_t clock = 0;
};

class AgainstTheOracle : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Servers, AgainstTheOracle, testing::Values(1, 2, 3, 10, 64, 500));

TEST_P(AgainstTheOracle, EveryOneOfAHundredThousandDecisionsIsTheSame) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  std::vector<std::uint8_t> weights(GetParam());
  for (auto& weight : weights) {
    weight = random() % 10 == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(1 + random() % 100);
  }
  BenchOfServers servers(wlc, weights);
  Oracle oracle(weights);
  std::vector<std::size_t> open;
  for (int event = 0; event < 100'000; ++event) {
    const auto kind = random() % 200;
    if (kind == 0) {
      const std::size_t server = random() % weights.size();
      oracle.up[server] = !oracle.up[server];
      servers.set_up(server, oracle.up[server]);
    } else if (kind < 95 && !open.empty()) {
      const std::size_t closed = random() % open.size();
      --oracle.active[open[closed]];
      servers.close(servers.id(open[closed]));
      open[closed] = open.back();
      open.pop_back();
    } else {
      const auto expected = oracle.pick();
      ASSERT_EQ(servers.pick(), expected) << "event " << event;
      if (expected) {
        ++oracle.active[*expected];
        servers.open(*expected);
        open.push_back(*expected);
      }
    }
  }
}

TEST(LeastConnections, SharesAHundredHeldConnectionsByWeight) {
  BenchOfServers servers(wlc, {100, 50, 50});
  for (int done = 0; done < 400; ++done) {
    servers.open(servers.pick().value());
  }
  EXPECT_EQ(servers.load().own[0].get(), 200U);
  EXPECT_EQ(servers.load().own[1].get(), 100U);
  EXPECT_EQ(servers.load().own[2].get(), 100U);
}

TEST(LeastConnections, TakesTurnsAmongIdleEquals) {
  BenchOfServers servers(wlc, {10, 10, 10});
  EXPECT_THAT(servers.count_picks(30), testing::Each(10));
}

TEST(LeastConnections, SharesTheFirstConnectionsOfSeveralWorkers) {
  BenchOfServers servers(wlc, {10, 10, 10, 10}, 4);
  std::vector<std::size_t> first;
  for (std::uint16_t worker = 0; worker < 4; ++worker) {
    first.push_back(servers.pick(worker).value());
  }
  EXPECT_THAT(first, testing::ElementsAre(0, 1, 2, 3));
}

TEST(LeastConnections, TakesOverTheOtherWorkersCountsWhenTheyArePublished) {
  BenchOfServers servers(wlc, {10, 10}, 2);
  for (int done = 0; done < 5; ++done) {
    servers.open(0, 1);
  }
  servers.publish_loads();
  for (int done = 0; done < 4; ++done) {
    ASSERT_EQ(servers.pick(0), 1U);
    servers.open(1, 0);
  }
  EXPECT_EQ(servers.pick(0), 1U);
}

TEST(LeastConnections, HoldsSharesWithCountsThatAreTenMillisecondsOld) {
  // Two workers hold 400 connections; control publishes after every 20th.
  BenchOfServers servers(wlc, {100, 50, 50}, 2);
  std::mt19937 random(5);
  for (int done = 0; done < 400; ++done) {
    if (done % 20 == 0) {
      servers.publish_loads();
    }
    const auto worker = static_cast<std::uint16_t>(random() % 2);
    servers.open(servers.pick(worker).value(), worker);
  }
  for (const auto& [server, expected] : {std::pair{0, 200}, {1, 100}, {2, 100}}) {
    const auto index = static_cast<std::size_t>(server);
    EXPECT_NEAR(servers.load(0).own[index].get() + servers.load(1).own[index].get(), expected, 8) << server;
  }
}

TEST(LeastConnections, StartsARebuildFromTheCountersAndIgnoresServersThatAreGone) {
  BenchOfServers servers(wlc, {10, 10, 10});
  std::ignore = servers.pick();
  servers.open(0);
  servers.open(1);
  servers.open(2);
  servers.replace_servers(wlc, {10, 10}, 1);  // id 0 is gone; ids 1 and 2 are indices 0 and 1
  servers.close({1});                         // not yet rebuilt: the counter is the truth
  EXPECT_EQ(servers.pick(), 0U);
  servers.close({0});
  servers.open(0);
  servers.open(0);
  EXPECT_EQ(servers.pick(), 1U);
}

TEST(LeastConnections, CountsAServerBeyondThePublishedRangeAsIdle) {
  BenchOfServers servers(wlc, {10, 10}, 1);
  servers.replace_servers(wlc, {10, 10}, 5'000);
  EXPECT_EQ(servers.pick(), 0U);
  EXPECT_EQ(servers.pick(), 1U);
}

TEST(LeastConnections, ComparesCountsNearTheEndOfTheirRangeExactly) {
  std::uint32_t usable = 0;
  std::uint32_t picks = 0;
  std::vector<std::uint32_t> memory(LeastConnections::words(2));
  LeastConnections heap(memory, 2, usable, picks);
  heap.forget_picks(0);
  heap.set_weight(0, 99);
  heap.set_weight(1, 100);
  heap.set_count(0, std::numeric_limits<std::uint32_t>::max() - 1);
  heap.set_count(1, std::numeric_limits<std::uint32_t>::max());
  heap.heapify();
  EXPECT_EQ(heap.pick(), 1U);
}

TEST(LeastConnections, StartsTheOrderOfEqualsAnewWhenItsNumbersAreUsedUp) {
  std::uint32_t usable = 0;
  std::uint32_t picks = 0;
  std::vector<std::uint32_t> memory(LeastConnections::words(3));
  LeastConnections heap(memory, 3, usable, picks);
  heap.forget_picks(0);
  for (std::uint32_t server = 0; server < 3; ++server) {
    heap.set_weight(server, 1);
  }
  heap.heapify();
  // The heap refers to it. NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores)
  picks = std::numeric_limits<std::uint32_t>::max() - 1;
  std::vector<std::uint32_t> picked(9);
  std::ranges::generate(picked, [&heap] { return heap.pick(); });
  EXPECT_THAT(picked, testing::ElementsAre(0, 1, 2, 0, 1, 2, 0, 1, 2));
}

}  // namespace
}  // namespace steelyard::schedule

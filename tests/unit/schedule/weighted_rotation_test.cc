// wrr and rr: exact shares, no bursts, whatever the weights, on one worker and over several.
#include "dataplane/schedule/weighted_rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <string>

#include "tests/unit/schedule/bench_of_servers.h"

namespace steelyard::schedule {
namespace {

using testing::Each;
using testing::ElementsAreArray;

std::string sequence(BenchOfServers& servers, std::size_t picks) {
  std::string text;
  for (std::size_t done = 0; done < picks; ++done) {
    text += static_cast<char>('A' + servers.pick().value());
  }
  return text;
}

std::uint64_t sum(const std::vector<std::uint8_t>& weights) {
  return std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
}

std::vector<std::uint8_t> random_weights(std::mt19937& random, std::size_t servers, unsigned least) {
  std::vector<std::uint8_t> weights(servers);
  for (auto& weight : weights) {
    weight = static_cast<std::uint8_t>(least + random() % (101 - least));
  }
  weights[random() % servers] = 100;  // never all 0
  return weights;
}

TEST(WeightedRotation, SpreadsTheHeavyServerAmongTheLightOnes) {
  BenchOfServers servers(service::Scheduler::wrr, {5, 1, 1});
  EXPECT_EQ(sequence(servers, 14), "ABAACAAABAACAA");
}

TEST(WeightedRotation, AlternatesEqualServers) {
  BenchOfServers servers(service::Scheduler::wrr, {100, 100, 100});
  EXPECT_EQ(sequence(servers, 9), "ABCABCABC");
}

TEST(WeightedRotation, NeverRunsAServerLongerThanItsShareExplains) {
  // A is 100 of 191: it may come twice in a row now and then, as every second pick is not quite enough, and no more.
  std::vector<std::uint8_t> weights{100};
  for (std::uint8_t weight = 1; weight <= 13; ++weight) {
    weights.push_back(weight);
  }
  BenchOfServers servers(service::Scheduler::wrr, weights);
  const std::string text = sequence(servers, 2 * sum(weights));
  EXPECT_EQ(text.find("AAA"), std::string::npos) << text;
  for (char server = 'B'; server <= 'N'; ++server) {
    EXPECT_EQ(text.find(std::string(2, server)), std::string::npos) << server;
  }
}

TEST(WeightedRotation, GivesEveryServerItsExactWeightInAnyFullCycle) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const auto weights = random_weights(random, 1 + random() % 150, 0);
    BenchOfServers servers(service::Scheduler::wrr, weights);
    servers.count_picks(random() % 3'000);  // a cycle may begin anywhere
    EXPECT_THAT(servers.count_picks(sum(weights)), ElementsAreArray(weights)) << "round " << round;
  }
}

TEST(WeightedRotation, KeepsEveryWeightClassWithinOnePickOfItsShareAtAllTimes) {
  std::mt19937 random(8);
  for (int round = 0; round < 50; ++round) {
    const auto weights = random_weights(random, 1 + random() % 100, 1);
    const std::uint64_t cycle = sum(weights);
    std::vector<std::uint64_t> rates(101);
    for (const auto weight : weights) {
      rates[weight] += weight;
    }
    BenchOfServers servers(service::Scheduler::wrr, weights);
    std::vector<std::uint64_t> picked(101);
    for (std::uint64_t done = 1; done <= cycle; ++done) {
      ++picked[weights[servers.pick().value()]];
      for (std::size_t weight = 1; weight <= 100; ++weight) {
        const std::uint64_t least = done * rates[weight] / cycle;
        ASSERT_GE(picked[weight], least) << "round " << round << " pick " << done << " weight " << weight;
        ASSERT_LE(picked[weight], least + 1) << "round " << round << " pick " << done << " weight " << weight;
      }
    }
  }
}

TEST(WeightedRotation, KeepsSharesWithinOnePercentOverTenThousandPicksSpreadAtRandomOverWorkers) {
  std::mt19937 random(9);
  for (const std::uint16_t workers : std::initializer_list<std::uint16_t>{1, 2, 3, 8, 64}) {
    for (const std::vector<std::uint8_t>& weights :
         {std::vector<std::uint8_t>{100, 50, 50}, {5, 1, 1}, {1, 100}, {7, 7, 7, 7}, {100, 99, 98, 3}}) {
      BenchOfServers servers(service::Scheduler::wrr, weights, workers);
      std::vector<std::uint32_t> counts(weights.size());
      for (int done = 0; done < 10'000; ++done) {
        ++counts[servers.pick(static_cast<std::uint16_t>(random() % workers)).value()];
      }
      for (std::size_t server = 0; server < weights.size(); ++server) {
        const double expected = 10'000.0 * weights[server] / static_cast<double>(sum(weights));
        EXPECT_NEAR(counts[server], expected, 100) << workers << " workers, server " << server;
        if (workers <= 8) {
          EXPECT_NEAR(counts[server], expected, std::max(expected / 100, 1.0 * workers)) << workers << " workers";
        }
      }
    }
  }
}

TEST(WeightedRotation, StartsWorkersAtDifferentPlacesOfTheCycle) {
  // The first picks of as many workers as the cycle is long are together one cycle.
  BenchOfServers uneven(service::Scheduler::wrr, {5, 1, 1}, 7);
  BenchOfServers even(service::Scheduler::wrr, {100, 100, 100, 100}, 4);
  std::string first_uneven;
  std::string first_even;
  for (std::uint16_t worker = 0; worker < 7; ++worker) {
    first_uneven += static_cast<char>('A' + uneven.pick(worker).value());
  }
  for (std::uint16_t worker = 0; worker < 4; ++worker) {
    first_even += static_cast<char>('A' + even.pick(worker).value());
  }
  EXPECT_EQ(std::ranges::count(first_uneven, 'A'), 5) << first_uneven;
  EXPECT_EQ(first_even, "ABCD");
}

TEST(WeightedRotation, ServesTenThousandServersExactly) {
  std::mt19937 random(10);
  const auto weights = random_weights(random, 10'000, 0);
  BenchOfServers servers(service::Scheduler::wrr, weights);
  EXPECT_THAT(servers.count_picks(sum(weights)), ElementsAreArray(weights));
}

TEST(WeightedRotation, CarriesTheLargestCycleWithoutOverflow) {
  // 2^24 servers of weight 100 and the rest of the range below them: deadlines pass 2^31. A position near the end of
  // the cycle is sought, and the cycle is closed from there.
  std::vector<std::uint32_t> weights(service::max_backends, 100);
  weights[5] = 1;
  weights[6] = 99;
  std::vector<std::uint32_t> memory(WeightedRotation::words(weights.size()));
  RotationPlace place;
  place.position = 999'900'000;
  place.cycle = 1'000'000'000;
  WeightedRotation rotation(memory, weights.size(), place);
  rotation.rebuild(weights);
  EXPECT_EQ(place.cycle, 100 * (service::max_backends - 2) + 100);
  std::uint32_t light_picks = 0;
  const std::uint32_t rest = place.cycle - place.position;
  for (std::uint32_t done = 0; done < rest; ++done) {
    light_picks += rotation.pick() == 5 ? 1 : 0;
  }
  EXPECT_EQ(place.position, 0U);
  EXPECT_LE(light_picks, 1U);
}

TEST(RoundRobin, TurnsOverUsableServersAndIgnoresTheirWeights) {
  BenchOfServers servers(service::Scheduler::rr, {100, 1, 0, 50});
  EXPECT_EQ(sequence(servers, 7), "ABDABDA");
  servers.set_up(1, false);
  EXPECT_EQ(sequence(servers, 4), "DADA");
}

TEST(RoundRobin, KeepsSharesOverWorkers) {
  BenchOfServers servers(service::Scheduler::rr, std::vector<std::uint8_t>(10, 100), 2);
  EXPECT_THAT(servers.count_picks(100, 0), Each(10));
  EXPECT_THAT(servers.count_picks(100, 1), Each(10));
}

}  // namespace
}  // namespace steelyard::schedule

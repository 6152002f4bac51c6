// One rate for several workers: the parts follow the traffic and their sum stays.
#include "dataplane/worker/bandwidth_divider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <numeric>

namespace steelyard::worker {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Ge;

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t millisecond = 1'000'000;

std::vector<std::uint64_t> divided(std::uint64_t rate, const std::vector<std::uint64_t>& offered) {
  std::vector<std::uint64_t> parts(offered.size());
  divide_rate(rate, offered, parts);
  const std::uint64_t sum = std::accumulate(parts.begin(), parts.end(), std::uint64_t{0});
  EXPECT_LE(sum, rate);
  EXPECT_GE(sum + parts.size(), rate) << "nothing is lost but by rounding";
  return parts;
}

TEST(DivideRate, GivesEqualPartsWithoutTrafficAndToEqualTraffic) {
  EXPECT_THAT(divided(1'000, {0, 0, 0, 0}), Each(250U));
  EXPECT_THAT(divided(1'000, {9'000, 9'000}), Each(500U));
  EXPECT_THAT(divided(1'000, {10, 10}), Each(500U));
  EXPECT_THAT(divided(1'000, {5}), ElementsAre(1'000U));
}

TEST(DivideRate, GivesWhoHasLittleWhatItNeedsAndTheOthersTheRestEqually) {
  EXPECT_THAT(divided(1'000, {40, 9'000, 800}), ElementsAre(50U, 475U, 475U));
}

TEST(DivideRate, LeavesAWorkerWithoutTrafficEnoughToBegin) {
  EXPECT_THAT(divided(10'000, {0, 90'000}), ElementsAre(100U, 9'900U));
  std::vector<std::uint64_t> offered(64);
  offered[7] = 1'000'000;
  const auto parts = divided(100'000, offered);
  EXPECT_GE(parts[7], 98'000U);
  EXPECT_THAT(parts, Each(Ge(31U)));
}

// Workers with meters, and control that divides every 5 ms (when it is time).
class Listener {
 public:
  static constexpr std::uint64_t rate = 12'500'000;  // 100 Mbit/s

  explicit Listener(std::size_t workers) {
    std::vector<BandwidthDivider::Cells> cells;
    for (std::size_t worker = 0; worker < workers; ++worker) {
      workers_.push_back(std::make_unique<Cells>());
      cells.push_back({&workers_.back()->shares, &workers_.back()->meters});
    }
    divider_ = std::make_unique<BandwidthDivider>(std::move(cells));
    const std::array limits{BandwidthLimit{{1}, rate}};
    divider_->set_limits(limits);
  }
  // For ten seconds every worker has so many times the rate to send; the share of the rate that passed.
  double run(const std::function<double(std::size_t worker, double second)>& load) {
    std::uint64_t passed = 0;
    std::vector<double> due(workers_.size());
    const std::uint64_t begin = now_;
    for (; now_ < begin + 10 * second; now_ += millisecond) {
      if (now_ % (5 * millisecond) == 0) {
        divider_->divide(now_);
      }
      for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
        due[worker] += load(worker, static_cast<double>(now_ - begin) / 1e9) * static_cast<double>(rate) / 1e3;
        for (; due[worker] >= 1'500; due[worker] -= 1'500) {
          passed += send(worker) ? 1'500U : 0U;
        }
      }
    }
    return static_cast<double>(passed) / (10 * static_cast<double>(rate));
  }

 private:
  struct Cells {
    Cells() {
      shares.commit(2);
      meters.commit(2);
    }
    service::StableArray<service::Counter> shares{2};
    service::StableArray<l4::BandwidthMeter> meters{2};
  };
  bool send(std::size_t worker) {
    const std::uint64_t share = workers_[worker]->shares[1].get();
    return workers_[worker]->meters[1].allow(now_, share == 0 ? rate / workers_.size() : share,
                                             rate / l4::bursts_per_second / workers_.size(), 1'500);
  }

  std::vector<std::unique_ptr<Cells>> workers_;
  std::unique_ptr<BandwidthDivider> divider_;
  std::uint64_t now_ = 1'000 * second;
};

TEST(BandwidthDivider, KeepsTheRateWithinFivePercentInTenSecondsWhereverTheTrafficIs) {
  for (const std::size_t workers : {1U, 2U, 4U, 64U}) {
    EXPECT_NEAR(Listener(workers).run([](std::size_t, double) { return 3.0; }), 1, 0.05) << "all, of " << workers;
    EXPECT_NEAR(Listener(workers).run([](std::size_t worker, double) { return worker == 0 ? 1.5 : 0.0; }), 1, 0.05)
        << "one of " << workers;
    EXPECT_NEAR(Listener(workers).run([](std::size_t worker, double) { return worker == 0 ? 5.0 : 0.02; }), 1, 0.05)
        << "one and a little, of " << workers;
  }
}

TEST(BandwidthDivider, FollowsTrafficThatMovesBetweenWorkersEverySecond) {
  Listener listener(2);
  const auto moving = [](std::size_t worker, double at) {
    return static_cast<std::size_t>(at) % 2 == worker ? 2.0 : 0.0;
  };
  listener.run(moving);
  const double passed = listener.run(moving);
  EXPECT_LT(passed, 1.05);
  EXPECT_GT(passed, 0.85) << "a tenth of a second is lost at each move";
}

TEST(BandwidthDivider, LetsTrafficBelowTheRatePass) {
  EXPECT_NEAR(Listener(4).run([](std::size_t worker, double) { return worker == 2 ? 0.2 : 0.1; }), 0.5, 0.01);
}

}  // namespace
}  // namespace steelyard::worker

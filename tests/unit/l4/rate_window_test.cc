// The sliding second: what comes in under pressure, after silence, and over several workers.
#include "dataplane/l4/rate_window.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

namespace steelyard::l4 {
namespace {

constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t second = 1'000 * ms;

// Workers that share one limit: each counts what it lets in, and decides by the sum of all.
class Workers {
 public:
  explicit Workers(std::size_t count, std::uint32_t limit) : windows_(count), limit_(limit) {}
  bool come(std::size_t worker, std::uint64_t now_ns) {
    const WindowTime now = WindowTime::at(now_ns);
    std::uint64_t recent = 0;
    for (const RateWindow& window : windows_) {
      recent += window.recent(now);
    }
    if (!has_room(recent, limit_)) {
      return false;
    }
    windows_[worker].add(now);
    return true;
  }

 private:
  std::vector<RateWindow> windows_;
  std::uint32_t limit_;
};

TEST(RateWindow, UnderPressureExactlyTheLimitComesInEachSecondHoweverWorkersShareTheTraffic) {
  for (const std::uint32_t limit : {1U, 7U, 100U, 5'000U}) {
    for (const std::size_t on_first : {0U, 50U, 99U, 100U}) {  // percent of the traffic
      Workers workers(2, limit);
      std::mt19937 random(1);
      for (std::uint64_t at = 0; at < 5; ++at) {
        std::uint32_t came = 0;
        for (std::uint64_t step = 0; step < 20'000; ++step) {
          const std::size_t worker = random() % 100 < on_first ? 0 : 1;
          came += workers.come(worker, 77 * second + at * second + step * 50'000) ? 1U : 0U;
        }
        EXPECT_NEAR(came, limit, 1) << "second " << at;
      }
    }
  }
}

TEST(RateWindow, FromTheSecondSecondOnTheyComeEvenly) {
  Workers workers(1, 100);
  std::array<std::uint32_t, 30> tenths{};
  for (std::uint64_t at = 0; at < 3 * second; at += ms) {
    tenths.at(at / (second / 10)) += workers.come(0, at) ? 1U : 0U;
  }
  EXPECT_EQ(tenths[0], 100U) << "a burst after silence is as large as the limit";
  for (std::size_t tenth = 10; tenth < 30; ++tenth) {
    EXPECT_NEAR(tenths.at(tenth), 10, 1) << tenth;
  }
}

TEST(RateWindow, WithinTheLimitNobodyIsRefused) {
  Workers workers(4, 10);
  for (std::uint64_t number = 0; number < 200; ++number) {
    EXPECT_TRUE(workers.come(number % 4, number * second / 10)) << number;
  }
}

TEST(RateWindow, OneASecondIsOneASecond) {
  Workers workers(2, 1);
  for (std::uint64_t at = 0; at < 20; ++at) {
    EXPECT_TRUE(workers.come(at % 2, at * second)) << at;
    EXPECT_FALSE(workers.come(at % 2, at * second + 900 * ms)) << at;
  }
}

TEST(RateWindow, ForgetsWhatIsOlderThanTwoSeconds) {
  RateWindow window;
  window.add(WindowTime::at(10 * second));
  window.add(WindowTime::at(10 * second + 1));
  EXPECT_EQ(window.recent(WindowTime::at(10 * second + 999 * ms)), 2 * WindowTime::parts);
  EXPECT_EQ(window.recent(WindowTime::at(11 * second)), 2 * (WindowTime::parts - 1));
  EXPECT_EQ(window.recent(WindowTime::at(11 * second + 500 * ms)), WindowTime::parts - 2);
  EXPECT_EQ(window.recent(WindowTime::at(12 * second)), 0U);
  EXPECT_EQ(window.recent(WindowTime::at(500'000 * second)), 0U);
}

TEST(RateWindow, CountsOnWhereItsSecondsWrap) {
  constexpr std::uint64_t wrap = (std::uint64_t{1} << WindowTime::second_bits) * second;
  RateWindow window;
  window.add(WindowTime::at(wrap - 1));
  EXPECT_EQ(window.recent(WindowTime::at(wrap)), WindowTime::parts - 1);
  window.add(WindowTime::at(wrap));
  EXPECT_EQ(window.recent(WindowTime::at(wrap)), 2 * WindowTime::parts - 1);
}

}  // namespace
}  // namespace steelyard::l4

// A limit of connections is kept over workers that know nothing of each other. The workers here are as unfavourable as
// RCU allows: until a worker passes a quiescent state, it goes by the largest number of permits that it may have read.
#include "dataplane/worker/permit_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>

namespace steelyard::worker {
namespace {

class Ledger {
 public:
  static constexpr std::size_t servers = 4;

  explicit Ledger(std::size_t workers) : readable_(workers), acknowledged_(workers) {
    std::vector<PermitLedger::Cells> cells;
    for (std::size_t worker = 0; worker < workers; ++worker) {
      workers_.push_back(std::make_unique<Cells>());
      cells.push_back({&workers_.back()->permits, &workers_.back()->connections, &workers_.back()->counters});
    }
    const auto passed = [this](std::uint64_t moment) {
      return std::ranges::all_of(acknowledged_, [moment](std::uint64_t seen) { return seen >= moment; });
    };
    ledger_ = std::make_unique<PermitLedger>(std::move(cells), PermitLedger::Grace{[this] { return ++now_; }, passed});
  }

  void limit(const std::map<std::uint32_t, std::uint32_t>& most_by_server) {
    std::vector<ConnectionLimit> limits;
    for (const auto& [server, most] : most_by_server) {
      limits.push_back({{server}, most});
    }
    ledger_->set_limits(limits);
    ledger_->published();
    note_readable();
  }

  // A worker decides a connection; whether it may have it.
  bool open(std::size_t worker, std::uint32_t server) {
    if (connections(worker, server) >= readable_[worker].at(server)) {
      if (all_connections(server) < limit_seen) {
        workers_[worker]->counters[server].permit_missing.add();
      }
      return false;
    }
    workers_[worker]->connections[server].add();
    return true;
  }
  void adopt(std::size_t worker, std::uint32_t server) { workers_[worker]->connections[server].add(); }
  void close(std::size_t worker, std::uint32_t server) { workers_[worker]->connections[server].subtract(); }

  void quiesce(std::size_t worker) {
    acknowledged_[worker] = now_;
    readable_[worker].fill(0);
    note_readable();
  }
  void control() {
    ledger_->balance();
    note_readable();
  }
  // Time passes in which everybody has its turns.
  void settle() {
    for (int round = 0; round < 4; ++round) {
      control();
      for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
        quiesce(worker);
      }
    }
  }

  [[nodiscard]] std::uint32_t connections(std::size_t worker, std::uint32_t server) const {
    return workers_[worker]->connections[server].get();
  }
  [[nodiscard]] std::uint32_t all_connections(std::uint32_t server) const {
    std::uint32_t sum = 0;
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
      sum += connections(worker, server);
    }
    return sum;
  }
  [[nodiscard]] std::uint32_t permits(std::size_t worker, std::uint32_t server) const {
    return workers_[worker]->permits[server].get();
  }
  [[nodiscard]] std::size_t workers() const { return workers_.size(); }

  std::uint32_t limit_seen = 0;  // by which workers judge whether a server is full

 private:
  struct Cells {
    Cells() {
      permits.commit(servers);
      connections.commit(servers);
      counters.commit(servers);
    }
    service::StableArray<service::Gauge> permits{servers};
    service::StableArray<service::Gauge> connections{servers};
    service::StableArray<l4::BackendCounters> counters{servers};
  };

  void note_readable() {
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
      for (std::uint32_t server = 0; server < servers; ++server) {
        readable_[worker].at(server) = std::max(readable_[worker].at(server), permits(worker, server));
      }
    }
  }

  std::vector<std::unique_ptr<Cells>> workers_;
  std::vector<std::array<std::uint32_t, servers>> readable_;  // the largest since the last quiescent state
  std::vector<std::uint64_t> acknowledged_;
  std::uint64_t now_ = 0;
  std::unique_ptr<PermitLedger> ledger_;
};

TEST(PermitLedger, NeverLetsWorkersExceedALimitHoweverTheirStepsInterleave) {
  std::uint64_t opened = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    Ledger ledger(1 + random() % 4);
    const std::uint32_t most = 1 + random() % 8;
    ledger.limit_seen = most;
    ledger.limit({{1, most}});
    for (int step = 0; step < 2'000; ++step) {
      const std::size_t worker = random() % ledger.workers();
      switch (random() % 8) {
        case 0:
          ledger.control();
          break;
        case 1:
          ledger.quiesce(worker);
          break;
        case 2:
        case 3:
          if (ledger.connections(worker, 1) > 0) {
            ledger.close(worker, 1);
          }
          break;
        default:
          opened += ledger.open(worker, 1) ? 1 : 0;
      }
      ASSERT_LE(ledger.all_connections(1), most) << "seed " << seed << " step " << step;
    }
  }
  EXPECT_GT(opened, 50'000U);
}

TEST(PermitLedger, NeverLetsWorkersGetNewConnectionsAboveALimitThatFallsOrThatOthersHaveExceeded) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    Ledger ledger(2 + random() % 3);
    std::uint32_t most = 8;
    ledger.limit_seen = most;
    ledger.limit({{1, most}});
    ledger.settle();
    for (int step = 0; step < 1'000; ++step) {
      const std::size_t worker = random() % ledger.workers();
      const std::uint32_t before = ledger.all_connections(1);
      switch (random() % 16) {
        case 0:
          ledger.control();
          break;
        case 1:
          ledger.quiesce(worker);
          break;
        case 2:
        case 3:
        case 4:
        case 5:
          if (ledger.connections(worker, 1) > 0) {
            ledger.close(worker, 1);
          }
          break;
        case 6:
          if (before < 12) {
            ledger.adopt(worker, 1);
          }
          ledger.settle();
          break;
        case 7:
          most = 1 + random() % 8;
          ledger.limit_seen = most;
          ledger.limit({{1, most}});
          ledger.settle();
          break;
        default:
          if (ledger.open(worker, 1)) {
            ASSERT_LT(before, most) << "seed " << seed << " step " << step;
          }
      }
    }
  }
}

TEST(PermitLedger, GivesEveryWorkerItsShareAtOnceAndAllToWhoNeedsThem) {
  for (const std::size_t workers : {1U, 2U, 4U, 64U}) {
    Ledger ledger(workers);
    ledger.limit_seen = 100;
    ledger.limit({{1, 100}});
    ledger.settle();
    for (std::size_t worker = 0; worker < workers; ++worker) {
      EXPECT_GE(ledger.permits(worker, 1), 100 / workers);
    }
    for (int tries = 0; tries < 1'000 && ledger.all_connections(1) < 100; ++tries) {
      if (!ledger.open(workers - 1, 1)) {
        ledger.settle();
      }
    }
    EXPECT_EQ(ledger.connections(workers - 1, 1), 100U) << workers << " workers";
    EXPECT_FALSE(ledger.open(0, 1));
  }
}

TEST(PermitLedger, MovesTheOnlyPermitToTheWorkerThatMissesIt) {
  Ledger ledger(4);
  ledger.limit_seen = 1;
  ledger.limit({{1, 1}});
  ledger.settle();
  for (const std::size_t worker : {3U, 0U, 2U, 1U, 3U}) {
    if (!ledger.open(worker, 1)) {
      ledger.settle();
      ASSERT_TRUE(ledger.open(worker, 1)) << "worker " << worker;
    }
    ledger.close(worker, 1);
  }
}

TEST(PermitLedger, CountsTheConnectionsThatANewLimitFinds) {
  Ledger ledger(2);
  ledger.limit_seen = 3;
  ledger.adopt(0, 1);
  ledger.adopt(0, 1);
  ledger.adopt(1, 1);
  ledger.limit({{1, 3}});
  ledger.settle();
  EXPECT_FALSE(ledger.open(0, 1));
  EXPECT_FALSE(ledger.open(1, 1));
  ledger.close(0, 1);
  ledger.settle();
  EXPECT_TRUE(ledger.open(0, 1) || ledger.open(1, 1));
  EXPECT_EQ(ledger.all_connections(1), 3U);
}

// Free permits of the old limit are no promise.
TEST(PermitLedger, ALowerLimitBindsWithTheConfigurationThatBringsIt) {
  for (const std::size_t workers : {1U, 2U, 5U}) {
    for (const std::uint32_t open : {0U, 3U, 30U}) {
      Ledger ledger(workers);
      ledger.limit({{1, 1'000}});
      ledger.settle();
      for (std::uint32_t number = 0; number < open; ++number) {
        ASSERT_TRUE(ledger.open(number % workers, 1));
      }
      ledger.limit({{1, 10}});
      for (std::size_t worker = 0; worker < workers; ++worker) {
        ledger.quiesce(worker);
      }
      for (int tries = 0; tries < 100; ++tries) {
        for (std::size_t worker = 0; worker < workers; ++worker) {
          static_cast<void>(ledger.open(worker, 1));
        }
      }
      EXPECT_LE(ledger.all_connections(1), std::max(open, 10U));
      ledger.limit_seen = 10;
      for (int tries = 0; tries < 100; ++tries) {
        static_cast<void>(ledger.open(0, 1));
        ledger.settle();
      }
      EXPECT_EQ(ledger.all_connections(1), std::max(open, 10U)) << "the rest is given out";
    }
  }
}

// Workers of the configuration before know of no limit.
TEST(PermitLedger, GivesNothingOfANewLimitBeforeWorkersKnowOfIt) {
  Ledger ledger(2);
  ledger.limit({{1, 5}});
  ledger.control();
  EXPECT_EQ(ledger.permits(0, 1) + ledger.permits(1, 1), 0U);
  ledger.quiesce(0);
  ledger.control();
  EXPECT_EQ(ledger.permits(0, 1) + ledger.permits(1, 1), 0U);
  ledger.quiesce(1);
  ledger.control();
  EXPECT_EQ(ledger.permits(0, 1) + ledger.permits(1, 1), 5U);
}

TEST(PermitLedger, KeepsWhatItHasGivenOverAConfigurationWithTheSameLimitsAndOthers) {
  Ledger ledger(2);
  ledger.limit({{1, 4}, {3, 6}});
  ledger.settle();
  ledger.limit({{0, 9}, {1, 4}, {2, 2}, {3, 6}});
  EXPECT_EQ(ledger.permits(0, 1) + ledger.permits(1, 1), 4U);
  EXPECT_EQ(ledger.permits(0, 3) + ledger.permits(1, 3), 6U);
  ledger.settle();
  EXPECT_EQ(ledger.permits(0, 0) + ledger.permits(1, 0), 9U);
  EXPECT_EQ(ledger.permits(0, 2) + ledger.permits(1, 2), 2U);
  ledger.limit({{3, 6}});
  ledger.settle();
  EXPECT_EQ(ledger.permits(0, 3) + ledger.permits(1, 3), 6U);
}

}  // namespace
}  // namespace steelyard::worker

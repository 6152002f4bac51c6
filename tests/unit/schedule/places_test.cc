// Servers with a limit: who gets what a full one cannot take, in every scheduler.
#include "dataplane/schedule/places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/unit/schedule/bench_of_servers.h"

namespace steelyard::schedule {
namespace {

using service::Scheduler;

class Room {
 public:
  Room(Scheduler kind, const std::vector<std::uint8_t>& weights) : bench_(kind, weights), permits_(weights.size()) {
    bench_.listener().limited = true;
    for (service::Server& server : bench_.listener().servers) {
      server.max_connections = 0;
    }
  }
  // Of a server's limit this worker has so many permits.
  void limit(std::size_t server, std::uint32_t most, std::uint32_t permits) {
    bench_.listener().servers[server].max_connections = most;
    permits_[server].set(permits);
  }
  void limit(std::size_t server, std::uint32_t most) { limit(server, most, most); }

  schedule::Scheduler::Choice choose(Need need = Need::permit) {
    schedule::Scheduler& scheduler = bench_.scheduler();
    if (!scheduler.is_current(bench_.listener(), bench_.now_ns)) {
      scheduler.rebuild(bench_.listener(), {{0}, 1}, bench_.load(), bench_.now_ns);
    }
    const LoadView load = bench_.load();
    return scheduler.pick_with_room(bench_.listener(), load, {load.own, load.others, permits_}, need, bench_.client,
                                    bench_.now_ns);
  }
  // The same, and the connection stays.
  schedule::Scheduler::Choice open() {
    const auto choice = choose();
    if (choice.server) {
      bench_.open(*choice.server);
    }
    return choice;
  }
  BenchOfServers& bench() { return bench_; }

 private:
  BenchOfServers bench_;
  std::vector<service::Gauge> permits_;
};

class EveryLimitedScheduler : public testing::TestWithParam<Scheduler> {};

TEST_P(EveryLimitedScheduler, FindsTheOnlyServerWithRoomAmongMany) {
  for (const std::size_t servers : {2U, 63U, 64U, 1'000U}) {
    Room room(GetParam(), std::vector<std::uint8_t>(servers, 10));
    for (std::size_t server = 0; server < servers; ++server) {
      room.limit(server, 1, server == servers / 2 ? 1 : 0);
      if (server != servers / 2) {
        room.bench().open(server);
      }
    }
    EXPECT_EQ(room.open().server, servers / 2);
    const auto none = room.open();
    EXPECT_FALSE(none.server);
    EXPECT_FALSE(none.missing);
    EXPECT_TRUE(none.any_usable);
    EXPECT_TRUE(none.turned_away);
  }
}

TEST_P(EveryLimitedScheduler, FillsEveryServerToItsLimitAndNoFurther) {
  Room room(GetParam(), {100, 50, 10});
  room.limit(0, 4);
  room.limit(1, 3);
  room.limit(2, 5);
  std::vector<int> got(3);
  for (std::uint64_t client = 0; client < 30; ++client) {
    room.bench().client = {client * 0x9e3779b97f4a7c15U};
    if (const auto choice = room.open(); choice.server) {
      ++got.at(*choice.server);
    }
  }
  EXPECT_THAT(got, testing::ElementsAre(4, 3, 5));
}

TEST_P(EveryLimitedScheduler, TellsAPermitThatIsElsewhereFromALimitThatIsReached) {
  Room room(GetParam(), {100, 100});
  room.limit(0, 2, 0);
  room.limit(1, 2, 0);
  EXPECT_TRUE(room.choose().missing);
  EXPECT_FALSE(room.choose().turned_away);
  EXPECT_TRUE(room.choose(Need::room).server) << "another worker may have it";
  room.limit(0, 1, 1);
  room.bench().open(0);
  EXPECT_EQ(room.choose().missing, 1U);
  EXPECT_EQ(room.choose(Need::room).server, 1U);
}

TEST_P(EveryLimitedScheduler, SearchesManyServersInVainOnlyOnceAMillisecond) {
  Room room(GetParam(), std::vector<std::uint8_t>(64, 10));
  for (std::size_t server = 0; server < 64; ++server) {
    room.limit(server, 1);
    room.bench().open(server);
  }
  EXPECT_FALSE(room.choose().server);
  const auto missed = [&room] {
    std::set<std::size_t> found;
    for (std::uint64_t client = 0; client < 64; ++client) {
      room.bench().client = {client * 0x9e3779b97f4a7c15U};
      if (const auto choice = room.choose(); choice.server) {
        found.insert(*choice.server);
      }
    }
    return found;
  };
  room.bench().close(room.bench().id(7));
  room.bench().now_ns += 1'000'000;
  EXPECT_THAT(missed(), testing::ElementsAre(7U));
}

TEST_P(EveryLimitedScheduler, RemembersThatOnlyAPermitWasMissing) {
  Room room(GetParam(), std::vector<std::uint8_t>(64, 10));
  for (std::size_t server = 0; server < 64; ++server) {
    room.limit(server, 1, server == 7 ? 0 : 1);
    if (server != 7) {
      room.bench().open(server);
    }
  }
  for (std::uint64_t client = 0; client < 100; ++client) {
    room.bench().client = {client * 0x9e3779b97f4a7c15U};
    const auto choice = room.choose();
    EXPECT_FALSE(choice.server);
    EXPECT_EQ(choice.missing, 7U);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryLimitedScheduler,
                         testing::Values(Scheduler::wrr, Scheduler::wlc, Scheduler::rr, Scheduler::sch,
                                         Scheduler::tch));

TEST(FullServers, LeaveTheirTurnsToTheOthersByTheirWeights) {
  Room room(Scheduler::wrr, {100, 3, 1});
  room.limit(0, 1);
  room.bench().open(0);
  std::vector<int> got(3);
  for (int turn = 0; turn < 400; ++turn) {
    ++got.at(room.choose().server.value());
  }
  EXPECT_THAT(got, testing::ElementsAre(0, 300, 100));
}

TEST(FullServers, LeaveTheirConnectionsToTheLeastLoadedOfTheOthers) {
  for (const std::size_t servers : {3U, 5U, 80U}) {
    Room room(Scheduler::wlc, std::vector<std::uint8_t>(servers, 100));
    room.limit(0, 1);
    room.bench().open(0);
    std::vector<std::size_t> got(servers);
    for (std::size_t turn = 0; turn < 50 * (servers - 1); ++turn) {
      ++got.at(room.open().server.value());
    }
    std::vector<std::size_t> even(servers, 50);
    even[0] = 0;
    EXPECT_EQ(got, even);
  }
}

// Not full, but its permits are another worker's.
TEST(FullServers, WhosePermitsAreElsewhereLeaveThemToTheLeastLoadedAsWell) {
  Room room(Scheduler::wlc, {100, 100, 100, 50});
  room.limit(0, 1'000, 0);
  std::vector<std::size_t> got(4);
  for (int turn = 0; turn < 250; ++turn) {
    ++got.at(room.open().server.value());
  }
  EXPECT_THAT(got, testing::ElementsAre(0, 100, 100, 50));
}

TEST(FullServers, GetTheirOldShareWhenTheyHaveRoomAgain) {
  Room room(Scheduler::wrr, {50, 30, 20});
  room.limit(0, 1'000'000, 1);
  room.bench().open(0);
  for (int turn = 0; turn < 77; ++turn) {
    EXPECT_NE(room.choose().server.value(), 0U);
  }
  room.limit(0, 1'000'000);
  std::vector<int> got(3);
  for (int turn = 0; turn < 1'000; ++turn) {
    ++got.at(room.choose().server.value());
  }
  EXPECT_THAT(got, testing::ElementsAre(500, 300, 200));
}

TEST(FullServers, MoveOnlyTheirOwnClientsByHashAndAlwaysToTheSameServer) {
  const std::vector<std::uint8_t> weights(8, 100);
  Room room(Scheduler::sch, weights);
  const auto chosen = [&room] {
    std::vector<std::size_t> servers;
    for (std::uint64_t client = 0; client < 500; ++client) {
      room.bench().client = {client * 0x9e3779b97f4a7c15U};
      servers.push_back(room.choose().server.value());
    }
    return servers;
  };
  const auto before = chosen();
  room.limit(3, 1);
  room.bench().open(3);
  const auto full = chosen();
  EXPECT_EQ(full, chosen());
  std::set<std::size_t> took_over;
  for (std::size_t client = 0; client < before.size(); ++client) {
    if (before[client] == 3) {
      took_over.insert(full[client]);
    } else {
      EXPECT_EQ(full[client], before[client]);
    }
  }
  EXPECT_EQ(took_over.size(), 7U) << "spread over all others";
}

}  // namespace
}  // namespace steelyard::schedule

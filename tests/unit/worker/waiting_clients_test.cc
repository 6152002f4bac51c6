// Who waits for bandwidth, and whose turn it is.
#include "dataplane/worker/waiting_clients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace steelyard::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using Turns = std::map<std::uint16_t, std::vector<std::uint32_t>>;

constexpr service::ListenerId one{3};
constexpr service::ListenerId other{60};

class WaitingClientsTest : public ::testing::Test {
 protected:
  // Lets at most `most` go at each listener.
  Turns go(std::size_t most = 100) {
    Turns turns;
    waiting_.visit([&](service::ListenerId listener, auto&& next) {
      auto& gone = turns[listener.value];
      while (gone.size() < most) {
        const auto client = next();
        if (!client) {
          break;
        }
        gone.push_back(*client);
      }
    });
    return turns;
  }

  WaitingClients waiting_{16, 64, std::pmr::get_default_resource()};
};

TEST_F(WaitingClientsTest, TakeTurnsAtEachListener) {
  for (const std::uint32_t client : {5U, 2U, 9U}) {
    waiting_.add(client, one);
  }
  waiting_.add(7, other);
  EXPECT_THAT(go(1), ElementsAre(Pair(one.value, ElementsAre(5)), Pair(other.value, ElementsAre(7))));
  waiting_.add(5, one);
  EXPECT_THAT(go(), ElementsAre(Pair(one.value, ElementsAre(2, 9, 5))));
  EXPECT_THAT(go(), IsEmpty());
}

TEST_F(WaitingClientsTest, KeepTheirPlaceWhenTheyAskAgain) {
  for (const std::uint32_t client : {1U, 2U, 1U}) {
    waiting_.add(client, one);
  }
  EXPECT_THAT(go(), ElementsAre(Pair(one.value, ElementsAre(1, 2))));
}

TEST_F(WaitingClientsTest, LeaveTheQueueWhereverTheyAre) {
  for (std::uint32_t client = 0; client < 5; ++client) {
    waiting_.add(client, one);
  }
  for (const std::uint32_t client : {0U, 2U, 4U, 4U, 15U}) {
    waiting_.remove(client);
  }
  waiting_.add(4, other);
  EXPECT_THAT(go(), ElementsAre(Pair(one.value, ElementsAre(1, 3)), Pair(other.value, ElementsAre(4))));
  waiting_.add(0, one);
  waiting_.remove(0);
  EXPECT_THAT(go()[one.value], IsEmpty());
  EXPECT_THAT(go(), IsEmpty());
}

}  // namespace
}  // namespace steelyard::worker

// The table of datagrams under way: what it lets pass, what it forgets and when, and that it stays in its memory.
#include "dataplane/l4/fragment_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/packet_builder.h"

namespace steelyard::l4 {
namespace {

using packet::DropReason;
using packet::Fragment;
using packet::Ipv4;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t second = 1'000'000'000;
constexpr packet::HashKey key{{1, 2, 3, 4}};

class Datagrams : public ::testing::Test, public FragmentOutput {
 protected:
  using Table = FragmentTable<Ipv4>;
  explicit Datagrams(const FragmentLimits& limits = {}) : table_(limits, *this) {}

  void give_up_fragment(void* packet, DropReason reason) override { given_up_[number_of(packet)] = reason; }

  static void* packet(std::uintptr_t number) { return reinterpret_cast<void*>(number * 8); }  // NOLINT
  static std::uintptr_t number_of(void* packet) { return reinterpret_cast<std::uintptr_t>(packet) / 8; }

  static Table::Key datagram(std::uint16_t id) {
    return {test::address<Ipv4>("192.0.2.1"), test::address<Ipv4>("192.0.2.2"), id, 0, packet::protocol_udp};
  }
  // Bytes from, to; `more` follow.
  static Fragment piece(std::uint32_t from, std::uint32_t to, bool more = true) { return {from, to - from, more}; }

  Table::Admission admit(std::uint16_t id, const Fragment& fragment) {
    return table_.admit(datagram(id), packet::hash(key, datagram(id)), fragment, now_);
  }
  std::optional<DropReason> refused(std::uint16_t id, const Fragment& fragment) { return admit(id, fragment).refused; }
  // A later fragment that waits.
  bool wait(std::uint16_t id, const Fragment& fragment, std::uintptr_t number) {
    const auto admission = admit(id, fragment);
    EXPECT_FALSE(admission.refused);
    EXPECT_EQ(table_[admission.datagram].way, FragmentWay::waiting);
    return table_.hold(admission.datagram, packet(number), now_);
  }
  // The first fragment, which is forwarded; what had waited.
  std::vector<std::uintptr_t> forward(std::uint16_t id, const Fragment& first) {
    const auto admission = admit(id, first);
    EXPECT_FALSE(admission.refused);
    table_.decide(admission.datagram, FragmentWay::forward, now_);
    std::vector<std::uintptr_t> released;
    while (void* held = table_.next_held(admission.datagram)) {
      released.push_back(number_of(held));
    }
    table_.forget_if_complete(admission.datagram);
    return released;
  }

  std::map<std::uintptr_t, DropReason> given_up_;
  std::uint64_t now_ = second;
  Table table_;
};

TEST_F(Datagrams, InOrderPassAndAreForgotten) {
  EXPECT_THAT(forward(1, piece(0, 1'480)), IsEmpty());
  EXPECT_FALSE(refused(1, piece(1'480, 2'960)));
  const auto last = admit(1, piece(2'960, 4'008, false));
  EXPECT_FALSE(last.refused);
  EXPECT_EQ(table_[last.datagram].way, FragmentWay::forward);
  table_.forget_if_complete(last.datagram);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(Datagrams, WaitForTheirFirstFragmentAndLeaveInTheOrderOfArrival) {
  EXPECT_TRUE(wait(1, piece(2'960, 4'008, false), 3));
  EXPECT_TRUE(wait(1, piece(1'480, 2'960), 2));
  EXPECT_EQ(table_.held(), 2u);
  EXPECT_THAT(forward(1, piece(0, 1'480)), ElementsAre(3, 2));
  EXPECT_EQ(table_.held(), 0u);
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(Datagrams, AnIdentificationMayComeAgainOnceItsDatagramIsThrough) {
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(wait(1, piece(8, 100, false), 1));
    EXPECT_THAT(forward(1, piece(0, 8)), ElementsAre(1));
  }
}

TEST_F(Datagrams, ADuplicateIsDroppedAlone) {
  forward(1, piece(0, 80));
  EXPECT_FALSE(refused(1, piece(160, 240)));
  EXPECT_EQ(refused(1, piece(0, 80)), DropReason::fragment_duplicate);
  EXPECT_EQ(refused(1, piece(160, 240)), DropReason::fragment_duplicate);
  EXPECT_EQ(refused(1, piece(168, 176)), DropReason::fragment_duplicate);
  EXPECT_FALSE(refused(1, piece(80, 160)));
  EXPECT_FALSE(refused(1, piece(240, 244, false)));
}

TEST_F(Datagrams, AnOverlapCondemnsTheDatagram) {
  const std::vector<Fragment> overlaps{piece(72, 88),   piece(0, 88),   piece(152, 168),      piece(160, 248),
                                       piece(232, 248), piece(80, 168), piece(72, 250, false)};
  std::uint16_t id = 0;
  for (const Fragment& overlap : overlaps) {
    ++id;
    forward(id, piece(0, 80));
    EXPECT_FALSE(refused(id, piece(160, 240)));
    EXPECT_EQ(refused(id, overlap), DropReason::fragment_overlap) << id;
    EXPECT_EQ(refused(id, piece(80, 160)), DropReason::fragment_overlap) << "what follows goes the same way";
  }
}

TEST_F(Datagrams, AnOverlapDropsWhatWaits) {
  EXPECT_TRUE(wait(1, piece(80, 160), 1));
  EXPECT_TRUE(wait(1, piece(240, 320), 2));
  EXPECT_EQ(refused(1, piece(152, 240)), DropReason::fragment_overlap);
  EXPECT_EQ(given_up_.size(), 2u);
  EXPECT_EQ(given_up_[1], DropReason::fragment_overlap);
  EXPECT_EQ(refused(1, piece(0, 80)), DropReason::fragment_overlap) << "the first one, too";
}

TEST_F(Datagrams, ADatagramHasOneEnd) {
  EXPECT_FALSE(refused(1, piece(80, 100, false)));
  EXPECT_EQ(refused(1, piece(80, 96, false)), DropReason::fragment_overlap);
  EXPECT_FALSE(refused(2, piece(80, 100, false)));
  EXPECT_EQ(refused(2, piece(104, 200)), DropReason::fragment_overlap);
  EXPECT_FALSE(refused(3, piece(104, 200)));
  EXPECT_EQ(refused(3, piece(80, 100, false)), DropReason::fragment_overlap);
  EXPECT_FALSE(refused(4, piece(80, 100, false)));
  EXPECT_EQ(refused(4, piece(80, 100, false)), DropReason::fragment_duplicate);
}

TEST_F(Datagrams, TheLargestOnePassesInAnyOrder) {
  constexpr std::uint32_t step = 1'232;  // of a link of 1,280 bytes
  std::vector<Fragment> pieces;
  for (std::uint32_t at = 0; at < 65'500; at += step) {
    pieces.push_back(piece(at, std::min(at + step, 65'500U), at + step < 65'500));
  }
  std::mt19937 random(1);
  std::vector<Fragment> odd_first;
  for (const std::size_t parity : {1U, 0U}) {
    for (std::size_t at = parity; at < pieces.size(); at += 2) {
      odd_first.push_back(pieces[at]);
    }
  }
  for (std::uint16_t round = 0; round < 20; ++round) {
    auto order = odd_first;
    if (round > 0) {
      std::ranges::shuffle(order, random);
    }
    std::size_t passed = 0;
    for (const Fragment& each : order) {
      if (each.first()) {
        passed += 1 + forward(round, each).size();
        continue;
      }
      const auto admission = admit(round, each);
      ASSERT_FALSE(admission.refused);
      if (table_[admission.datagram].way == FragmentWay::waiting) {
        ASSERT_TRUE(table_.hold(admission.datagram, packet(each.offset), now_));
      } else {
        ++passed;
        table_.forget_if_complete(admission.datagram);
      }
    }
    EXPECT_EQ(passed, pieces.size());
    EXPECT_EQ(table_.size(), 0u) << "complete";
  }
}

TEST_F(Datagrams, MorePiecesThanAnyDatagramHasCondemnIt) {
  for (std::uint32_t number = 0; number < 32; ++number) {
    EXPECT_FALSE(refused(1, piece(16 * number + 8, 16 * number + 16)));
  }
  EXPECT_EQ(refused(1, piece(16 * 40, 16 * 40 + 8)), DropReason::fragment_queue_full);
}

TEST_F(Datagrams, ThatLoseFragmentsAreForgottenAfterFiveSeconds) {
  EXPECT_TRUE(wait(1, piece(80, 160), 1));
  forward(2, piece(0, 80));
  now_ += 5 * second - 1;
  EXPECT_EQ(table_.expire(now_, 10), 0u);
  now_ += 1;
  EXPECT_EQ(table_.expire(now_, 10), 2u);
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_THAT(given_up_, ElementsAre(std::pair(1, DropReason::fragment_timed_out)));
}

TEST_F(Datagrams, AreForgottenAFewAtATime) {
  for (std::uint16_t id = 0; id < 10; ++id) {
    EXPECT_FALSE(refused(id, piece(80, 160)));
  }
  now_ += 5 * second;
  EXPECT_EQ(table_.expire(now_, 4), 4u);
  EXPECT_EQ(table_.size(), 6u);
}

TEST_F(Datagrams, AFirstFragmentThatWasAwayIsKnownAgain) {
  EXPECT_FALSE(refused(1, piece(0, 80)));  // its verdict is asked for
  EXPECT_TRUE(wait(1, piece(80, 160), 1));
  const auto back = table_.readmit(datagram(1), packet::hash(key, datagram(1)), piece(0, 80), now_);
  EXPECT_FALSE(back.refused);
  EXPECT_EQ(table_[back.datagram].held, 1u);
  table_.clear(DropReason::fragment_timed_out);
  const auto late = table_.readmit(datagram(1), packet::hash(key, datagram(1)), piece(0, 80), now_);
  EXPECT_FALSE(late.refused) << "forgotten meanwhile";
  EXPECT_EQ(table_.size(), 1u);
  EXPECT_EQ(refused(1, piece(72, 160)), DropReason::fragment_overlap) << "and taken down anew";
}

TEST_F(Datagrams, AFirstFragmentThatComesBackToAnotherOneCondemnsTheDatagram) {
  const std::uint64_t hash = packet::hash(key, datagram(1));
  EXPECT_FALSE(table_.admit(datagram(1), hash, piece(0, 80), now_).refused);
  table_.clear(DropReason::fragment_timed_out);  // it gave way while its first fragment was away
  EXPECT_FALSE(table_.admit(datagram(1), hash, piece(0, 40), now_).refused);
  EXPECT_FALSE(table_.admit(datagram(1), hash, piece(40, 160), now_).refused);
  EXPECT_EQ(table_.readmit(datagram(1), hash, piece(0, 80), now_).refused, DropReason::fragment_overlap);
  EXPECT_EQ(refused(1, piece(160, 240)), DropReason::fragment_overlap);
}

TEST_F(Datagrams, WhatWaitsIsGivenBackAtTheEnd) {
  {
    Table table({}, *this);
    const auto admission = table.admit(datagram(1), 0, piece(8, 16), now_);
    EXPECT_TRUE(table.hold(admission.datagram, packet(9), now_));
  }
  EXPECT_THAT(given_up_, ElementsAre(std::pair(9, DropReason::fragment_timed_out)));
}

class FewDatagrams : public Datagrams {
 protected:
  FewDatagrams() : Datagrams({.datagrams = 8, .held = 6, .held_a_datagram = 4}) {}
};

TEST_F(FewDatagrams, AFloodOfLaterFragmentsReplacesItsOwn) {
  for (std::uint16_t id = 100; id < 103; ++id) {
    forward(id, piece(0, 80));
  }
  for (std::uint16_t id = 0; id < 50; ++id) {
    EXPECT_TRUE(wait(id, piece(80, 160), 1U + id));
    EXPECT_LE(table_.size(), 7u);
    EXPECT_LE(table_.held(), 4u);
  }
  EXPECT_EQ(given_up_.size(), 46u);
  EXPECT_EQ(given_up_[1], DropReason::fragment_replaced) << "the oldest first";
  for (std::uint16_t id = 100; id < 103; ++id) {
    const auto admission = admit(id, piece(80, 160));
    EXPECT_FALSE(admission.refused);
    EXPECT_EQ(table_[admission.datagram].way, FragmentWay::forward) << "who has had a first fragment is not disturbed";
  }
}

TEST_F(FewDatagrams, ANewDatagramReplacesTheOldestThatWasDecided) {
  for (std::uint16_t id = 0; id < 30; ++id) {
    forward(id, piece(0, 80));
  }
  EXPECT_EQ(table_.size(), 8u);
  const auto kept = admit(29, piece(80, 160));
  EXPECT_EQ(table_[kept.datagram].way, FragmentWay::forward);
  const auto gone = admit(0, piece(80, 160));
  EXPECT_EQ(table_[gone.datagram].way, FragmentWay::waiting);
}

TEST_F(FewDatagrams, TooManyThatWaitForOneFirstFragmentCondemnIt) {
  for (std::uint32_t number = 1; number <= 4; ++number) {
    EXPECT_TRUE(wait(1, piece(8 * number, 8 * number + 8), number));
  }
  EXPECT_FALSE(wait(1, piece(80, 88), 9));
  EXPECT_EQ(given_up_.size(), 4u);
  EXPECT_EQ(given_up_[4], DropReason::fragment_queue_full);
  EXPECT_EQ(table_.held(), 0u);
  EXPECT_EQ(refused(1, piece(0, 8)), DropReason::fragment_queue_full);
}

TEST_F(FewDatagrams, WhenAllPlacesAreTakenTheOldestThatWaitsGivesWay) {
  for (std::uint32_t number = 1; number <= 3; ++number) {
    EXPECT_TRUE(wait(1, piece(8 * number, 8 * number + 8), number));
    EXPECT_TRUE(wait(2, piece(8 * number, 8 * number + 8), 10 + number));
  }
  EXPECT_TRUE(wait(3, piece(8, 16), 20));
  EXPECT_EQ(given_up_.size(), 3u);
  EXPECT_EQ(given_up_[1], DropReason::fragment_replaced);
  EXPECT_EQ(table_.held(), 4u);
}

TEST(FragmentIds, AreDifferentForEveryDatagramOfAPairAndOnEveryWorker) {
  const auto source = test::address<Ipv4>("10.0.0.200");
  const auto destination = test::address<Ipv4>("10.0.0.1");
  std::vector<FragmentIds> workers{{key, 0, 3}, {key, 1, 3}, {key, 2, 3}};
  std::vector<bool> seen(65'536);
  for (std::size_t number = 0; number < 65'535 / 3; ++number) {
    for (FragmentIds& worker : workers) {
      const std::uint32_t id = worker.next<Ipv4>(source, destination);
      ASSERT_LT(id, 65'536u);
      ASSERT_FALSE(seen[id]);
      seen[id] = true;
    }
  }
}

}  // namespace
}  // namespace steelyard::l4

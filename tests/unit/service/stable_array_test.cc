// Arrays that grow without moving, the counters in them, and how the snapshot finds a listener.
#include "dataplane/service/stable_array.h"

#include <gtest/gtest.h>

#include <memory>

#include "dataplane/service/counter.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::service {
namespace {

struct Numbered {
  std::uint64_t number = 42;
};

TEST(StableArray, MakesItsElementsWhenTheyAreCommitted) {
  StableArray<Numbered> array(1'000);
  EXPECT_EQ(array.committed(), 0u);
  array.commit(3);
  EXPECT_EQ(array.committed(), 3u);
  EXPECT_EQ(array[2].number, 42u);
  EXPECT_EQ(array[3].number, 0u);
}

TEST(StableArray, NeverMovesWhatIsThere) {
  StableArray<Numbered> array(1'000'000);
  array.commit(1);
  Numbered& first = array[0];
  first.number = 7;
  for (const std::size_t count : {2UL, 1'000UL, 500'000UL, 1'000'000UL}) {
    array.commit(count);
    EXPECT_EQ(&array[0], &first);
    EXPECT_EQ(first.number, 7u);
  }
  EXPECT_EQ(&array[999'999], &first + 999'999);
  EXPECT_EQ(array[999'999].number, 42u);
}

TEST(StableArray, DoesNotMakeAnElementTwice) {
  StableArray<Numbered> array(10);
  array.commit(5);
  array[4].number = 7;
  array.commit(5);
  array.commit(2);
  array.commit(6);
  EXPECT_EQ(array.committed(), 6u);
  EXPECT_EQ(array[4].number, 7u);
}

TEST(StableArray, ReadsAsZeroBeyondWhatIsCommitted) {
  StableArray<Gauge> array(max_backends);
  array.commit(1);
  EXPECT_EQ(array.all().size(), max_backends);
  EXPECT_EQ(array.all()[max_backends - 1].get(), 0u);
}

TEST(StableArray, KeepsItsElementsWhenItsOwnerMoves) {
  StableArray<Numbered> array(100);
  array.commit(10);
  Numbered* element = &array[9];
  const StableArray<Numbered> moved(std::move(array));
  EXPECT_EQ(&moved[9], element);
  EXPECT_EQ(moved[9].number, 42u);
  EXPECT_EQ(moved.committed(), 10u);
}

TEST(StableArray, SaysWhenTheAddressSpaceCannotBeHad) {
  EXPECT_THROW(StableArray<Numbered>(std::size_t{1} << 58), std::bad_alloc);
}

TEST(SingleWriterCounter, CountsUpAndDown) {
  Counter counter;
  EXPECT_EQ(counter.get(), 0u);
  counter.add();
  counter.add(41);
  EXPECT_EQ(counter.get(), 42u);
  counter.subtract(2);
  counter.subtract();
  EXPECT_EQ(counter.get(), 39u);
  counter.set(7);
  EXPECT_EQ(counter.get(), 7u);
}

TEST(SingleWriterCounter, GoesRoundAtTheEndOfItsType) {
  SingleWriterCounter<std::uint16_t> counter;
  counter.set(0xffff);
  counter.add(2);
  EXPECT_EQ(counter.get(), 1u);
  counter.subtract(2);
  EXPECT_EQ(counter.get(), 0xffffu);
}

TEST(SingleWriterCounter, CostsNoMoreThanItsNumber) {
  EXPECT_EQ(sizeof(Counter), 8u);
  EXPECT_EQ(sizeof(Gauge), 4u);
  EXPECT_TRUE(std::atomic<std::uint64_t>::is_always_lock_free);
}

TEST(Snapshot, FindsAListenerByItsIdAndNobodyElse) {
  auto listener = std::make_shared<Listener>();
  listener->id = {2};
  Snapshot snapshot;
  snapshot.listeners = {nullptr, nullptr, listener};
  EXPECT_EQ(snapshot.find({2}), listener.get());
  EXPECT_EQ(snapshot.find({0}), nullptr);
  EXPECT_EQ(snapshot.find({1}), nullptr);
  EXPECT_EQ(snapshot.find({3}), nullptr);
  EXPECT_EQ(snapshot.find({0xffff}), nullptr);
}

}  // namespace
}  // namespace steelyard::service

// Packet pools: what they hold, and what happens when they are empty.
#include "dataplane/nic/pools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace steelyard::nic {
namespace {

using ::testing::HasSubstr;

Result<MbufPool> small_pool(std::uint32_t buffers = 63) {
  return MbufPool::create({.name = "test", .buffers = buffers});
}

TEST(MbufPool, GivesBuffersWithRoomForAFrameAndTheWorkersNotes) {
  auto pool = small_pool();
  ASSERT_TRUE(pool) << pool.error().message;
  const Packet packet = pool->allocate();
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(rte_pktmbuf_tailroom(packet.get()), smallest_frame_room);
  EXPECT_EQ(rte_pktmbuf_headroom(packet.get()), RTE_PKTMBUF_HEADROOM);
  EXPECT_EQ(rte_pktmbuf_priv_size(pool->raw()), packet_private_size);
}

TEST(MbufPool, TakesAPacketBackFromItsOwner) {
  auto pool = small_pool();
  ASSERT_TRUE(pool);
  {
    const Packet packet = pool->allocate();
    EXPECT_EQ(pool->available(), pool->capacity() - 1);
  }
  EXPECT_EQ(pool->available(), pool->capacity());
}

TEST(MbufPool, AnswersNullWhenItIsEmpty) {
  auto pool = small_pool(8);
  ASSERT_TRUE(pool);
  std::vector<Packet> taken;
  for (std::uint32_t i = 0; i < pool->capacity(); ++i) {
    taken.push_back(pool->allocate());
    ASSERT_NE(taken.back(), nullptr);
  }
  EXPECT_EQ(pool->allocate(), nullptr);
  taken.pop_back();
  EXPECT_NE(pool->allocate(), nullptr);
}

TEST(MbufPool, GivesAllOfABatchOrNothing) {
  auto pool = small_pool(16);
  ASSERT_TRUE(pool);
  std::array<rte_mbuf*, 12> first{};
  std::array<rte_mbuf*, 12> second{};
  EXPECT_TRUE(pool->allocate(first));
  EXPECT_FALSE(pool->allocate(second));
  rte_pktmbuf_free_bulk(first.data(), first.size());
}

TEST(MbufPool, CanBeMadeAgainUnderTheSameName) {
  { ASSERT_TRUE(small_pool()); }
  EXPECT_TRUE(small_pool());
}

TEST(MbufPool, IsRefusedWhenTheNameIsTaken) {
  const auto first = small_pool();
  ASSERT_TRUE(first);
  const auto second = small_pool();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("test"));
}

TEST(MbufPool, SaysHowMuchMemoryWasMissing) {
  const auto pool = small_pool(1'000'000);
  ASSERT_FALSE(pool);
  EXPECT_THAT(pool.error().message, AllOf(HasSubstr("1000000 buffers"), HasSubstr("packet_buffers")));
}

TEST(FrameRoom, FitsAfPacketsFramesAndTaggedJumboFrames) {
  EXPECT_EQ(frame_room(1500), 2048);
  EXPECT_GE(frame_room(9000), 9000 + 14 + 8 + 4);
}

TEST(WorkerPools, AreOneForReceivingAndOneForGeneratedPackets) {
  const auto pools = WorkerPools::create({.worker = 3, .receive_buffers = 2048, .largest_mtu = 1500});
  ASSERT_TRUE(pools) << pools.error().message;
  EXPECT_EQ(pools->receive.capacity(), 2048u);
  EXPECT_NE(pools->generate.raw(), pools->receive.raw());
}

}  // namespace
}  // namespace steelyard::nic

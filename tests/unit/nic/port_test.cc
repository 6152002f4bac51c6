// Ports on DPDK's virtual devices that need neither a NIC nor privileges: net_null (gives and swallows packets without
// end) and net_ring (what is sent comes back).
#include "dataplane/nic/port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <optional>
#include <string_view>

namespace steelyard::nic {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pool = MbufPool::create({.name = "port_test", .buffers = 2047});
    ASSERT_TRUE(pool) << pool.error().message;
    pool_.emplace(std::move(*pool));
    pools_.fill(pool_->raw());
  }

  Result<Port> open(const std::string& device, std::uint16_t workers = 1, std::uint16_t mtu = 1500) {
    return Port::open({.name = "wan", .device = device, .mtu = mtu, .workers = workers},
                      std::span(pools_).first(workers));
  }

  std::string refusal(const std::string& device, std::uint16_t mtu = 1500) {
    const Result<Port> port = open(device, 1, mtu);
    EXPECT_FALSE(port);
    return port ? "" : port.error().message;
  }

  std::optional<MbufPool> pool_;
  std::array<rte_mempool*, 4> pools_{};
};

TEST_F(PortTest, ReceivesAndSends) {
  auto port = open("net_null0,size=64");
  ASSERT_TRUE(port) << port.error().message;
  ASSERT_TRUE(port->start());
  std::array<rte_mbuf*, 32> packets{};
  ASSERT_EQ(port->receive(0, packets), packets.size());
  EXPECT_EQ(packets[0]->pkt_len, 64u);
  EXPECT_EQ(port->send(0, packets), packets.size());
  EXPECT_EQ(port->statistics().rx_packets, packets.size());
  EXPECT_EQ(port->statistics().tx_packets, packets.size());
  EXPECT_TRUE(port->link().up);
}

TEST_F(PortTest, GivesEveryBufferBackWhenItCloses) {
  {
    auto port = open("net_ring0");
    ASSERT_TRUE(port) << port.error().message;
    ASSERT_TRUE(port->start());
    Packet packet = pool_->allocate();
    ASSERT_NE(rte_pktmbuf_append(packet.get(), 60), nullptr);
    std::array<rte_mbuf*, 1> sent{packet.release()};
    ASSERT_EQ(port->send(0, sent), 1);
    std::array<rte_mbuf*, 4> received{};
    ASSERT_EQ(port->receive(0, received), 1);
    EXPECT_EQ(received[0], sent[0]);
    rte_pktmbuf_free(received[0]);
  }
  EXPECT_EQ(pool_->available(), pool_->capacity());
}

TEST_F(PortTest, HasAQueuePairForEachWorker) {
  auto port = open("net_null0", 4);
  ASSERT_TRUE(port) << port.error().message;
  EXPECT_EQ(port->queue_pairs(), 4);
  ASSERT_TRUE(port->start());
  std::array<rte_mbuf*, 4> packets{};
  EXPECT_EQ(port->receive(3, packets), packets.size());
  rte_pktmbuf_free_bulk(packets.data(), packets.size());
}

TEST_F(PortTest, ReportsWhatTheDriverHas) {
  const auto port = open("net_null0");
  ASSERT_TRUE(port);
  const PortReport& report = port->report();
  EXPECT_EQ(report.driver, "net_null");
  EXPECT_EQ(report.queue_pairs, 1);
  EXPECT_EQ(report.steering, Steering::single_queue);
  EXPECT_EQ(report.mtu, 1500);
  EXPECT_FALSE(report.tx_checksum.tcp);
  EXPECT_GT(report.rx_descriptors, 0);
}

TEST_F(PortTest, TakesAtMostAQuarterOfAPoolForAReceiveQueue) {
  const auto port = open("net_null0");
  ASSERT_TRUE(port);
  EXPECT_LE(port->report().rx_descriptors, pool_->capacity() / 4);
}

TEST_F(PortTest, CanBeOpenedAgainAfterItWasClosed) {
  for (int round = 0; round < 3; ++round) {
    auto port = open("net_null0");
    ASSERT_TRUE(port) << port.error().message;
    ASSERT_TRUE(port->start());
  }
}

TEST_F(PortTest, IsRefusedWhenTheDeviceIsOpenAlready) {
  const auto first = open("net_null0");
  ASSERT_TRUE(first);
  EXPECT_THAT(refusal("net_null0,size=128"), HasSubstr("used by another port"));
  EXPECT_TRUE(open("net_null1"));
}

TEST_F(PortTest, IsRefusedForSomethingThatIsNoDevice) {
  EXPECT_THAT(refusal("eth0"),
              AllOf(HasSubstr("port wan (eth0)"), HasSubstr("PCI address"), HasSubstr("net_af_packet")));
}

TEST_F(PortTest, IsRefusedForADriverThatDpdkDoesNotHave) {
  EXPECT_THAT(refusal("net_nosuch0"), AllOf(HasSubstr("net_nosuch0"), HasSubstr("DPDK cannot take the device")));
}

TEST_F(PortTest, IsRefusedForAnInterfaceThatIsNotThere) {
  EXPECT_THAT(refusal("net_af_packet0,iface=sy-absent"), HasSubstr("does the interface exist"));
}

TEST_F(PortTest, IsRefusedForSeveralQueuePairsOfAfPacket) {
  EXPECT_THAT(refusal("net_af_packet0,iface=lo,qpairs=2"), HasSubstr("one queue pair only"));
  EXPECT_THAT(refusal("net_af_packet0,iface=sy-absent,qpairs=1"), Not(HasSubstr("one queue pair only")));
}

TEST_F(PortTest, IsRefusedWhenAFrameDoesNotFitABuffer) {
  EXPECT_THAT(refusal("net_null0", 4000), HasSubstr("too small for an MTU of 4000"));
}

TEST_F(PortTest, SaysWhenMulticastIsOutOfItsReach) {
  auto port = open("net_null0");
  ASSERT_TRUE(port);
  ASSERT_TRUE(port->start());
  const std::array<rte_ether_addr, 1> group{{{{0x33, 0x33, 0, 0, 0, 1}}}};
  const Multicast mode = port->set_multicast_groups(group);
  EXPECT_EQ(mode, port->report().multicast);
  EXPECT_NE(mode, Multicast::not_needed);
  EXPECT_EQ(port->set_multicast_groups({}), Multicast::not_needed);
}

}  // namespace
}  // namespace steelyard::nic

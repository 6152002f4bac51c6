// TCP that ends on a worker, between packets and the stack: whose buffers go where, checksums, chains, path MTU, and
// which worker a connection belongs to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "dataplane/packet/build.h"
#include "dataplane/tcp/wire.h"
#include "dataplane/worker/tcp_host.h"
#include "tests/unit/packet_builder.h"
#include "tests/unit/worker/tcp_echo.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using packet::Sequence;
using test::Bytes;
using test::Frame;
namespace tcp_flag = packet::tcp_flag;
using namespace std::chrono_literals;

constexpr std::uint16_t port = test::Echo::port;
constexpr std::uint16_t client_port = 4'000;

template <class Family>
constexpr const char* ours = Family::is_v6 ? "2001:db8:1::10" : "192.0.2.10";
template <class Family>
constexpr const char* client = Family::is_v6 ? "2001:db8:77::7" : "198.51.100.7";

nic::MbufPool make_pool(const char* name, std::uint16_t room = nic::smallest_frame_room) {
  auto pool = nic::MbufPool::create({.name = name, .buffers = 255, .frame_room = room, .cache = 0});
  if (!pool) {
    throw std::runtime_error(pool.error().message);
  }
  return std::move(*pool);
}

// What was sent, as on the wire and as the buffers that a driver would hold.
class Sent final : public TcpHostOutput {
 public:
  ~Sent() override { clear(); }
  std::optional<neighbor::HopIndex> hop_to(const service::Address&) override {
    return reachable ? std::optional{neighbor::HopIndex{1}} : std::nullopt;
  }
  Link link_of(neighbor::HopIndex) const override { return link; }
  void send_segment(rte_mbuf* packet, neighbor::HopIndex) override {
    EXPECT_EQ(rte_mbuf_check(packet, 1, &why_), 0) << why_;
    packets.push_back(packet);
  }
  [[nodiscard]] Frame frame(std::size_t place) const {
    Frame frame;
    frame.bytes.resize(packets.at(place)->pkt_len);
    const void* from = rte_pktmbuf_read(packets[place], 0, packets[place]->pkt_len, frame.bytes.data());
    if (from != frame.bytes.data()) {
      std::memcpy(frame.bytes.data(), from, frame.bytes.size());
    }
    return frame;
  }
  // The driver has sent them.
  void clear() {
    for (rte_mbuf* packet : packets) {
      rte_pktmbuf_free(packet);
    }
    packets.clear();
  }

  std::vector<rte_mbuf*> packets;
  Link link{.takes_chains = true, .computes_checksum = false};
  bool reachable = true;

 private:
  const char* why_ = "";
};

Bytes payload_of(Frame frame) {
  return frame.tcp_payload();
}

template <class Family>
class TcpHostTest : public ::testing::Test {
 protected:
  TcpHostTest() {
    setup_.addresses = {service::Address::parse(ours<Family>).value()};
    setup_.limits = {.connections = 16, .half_open = 16, .time_wait = 16};
    setup_.queue_nodes = 256;
    setup_.received = &received_;
    setup_.headers = &headers_;
    setup_.clones = &clones_;
    setup_.payload = &payload_;
    setup_.application = &application_;
    host_ = std::make_unique<TcpHost>(setup_, sent_, 0);
  }
  ~TcpHostTest() override {
    host_.reset();
    sent_.clear();
    for (const nic::MbufPool* pool : {&received_, &headers_, &clones_, &payload_}) {
      EXPECT_EQ(pool->available(), pool->capacity());
    }
  }

  rte_mbuf* buffer_of(std::span<const std::uint8_t> bytes) {
    rte_mbuf* packet = received_.allocate().release();
    std::ranges::copy(bytes, rte_pktmbuf_append(packet, static_cast<std::uint16_t>(bytes.size())));
    return packet;
  }
  // A frame comes in, its first `first` bytes in one buffer, the rest in a second one.
  bool receive(const Frame& frame, std::size_t first = SIZE_MAX, std::uint64_t flags = 0) {
    const std::span<const std::uint8_t> bytes(frame.bytes);
    rte_mbuf* packet = buffer_of(bytes.first(std::min(first, bytes.size())));
    if (first < bytes.size()) {
      EXPECT_EQ(rte_pktmbuf_chain(packet, buffer_of(bytes.subspan(first))), 0);
    }
    packet->ol_flags |= flags;
    last_received_ = packet->buf_addr;
    const packet::PacketView view =
        packet::parse({rte_pktmbuf_mtod(packet, std::uint8_t*), packet->data_len}, packet->pkt_len, {});
    EXPECT_EQ(view.kind, packet::PacketKind::l4);
    const bool taken = host_->receive(packet, view, now_ns_);
    if (!taken) {
      rte_pktmbuf_free(packet);
    }
    return taken;
  }
  // False: it is not about the host's TCP.
  bool receive_error(const packet::PacketView& error) {
    const auto quoted = host_->quoted_in(error);
    if (quoted) {
      host_->receive_error(*quoted, error, now_ns_);
    }
    return quoted.has_value();
  }
  Frame segment(std::uint32_t sequence, std::uint32_t acknowledgment, std::uint8_t flags, std::size_t payload = 0) {
    return test::tcp<Family>(
        test::tuple<Family>(packet::protocol_tcp, client<Family>, client_port, ours<Family>, port),
        {.sequence = {sequence}, .acknowledgment = {acknowledgment}, .flags = flags, .payload = payload});
  }
  // The client's handshake; afterwards its next octet is 1'001, and nothing is in sent_.
  void open() {
    EXPECT_TRUE(receive(segment(1'000, 0, tcp_flag::syn)));
    ASSERT_EQ(sent_.packets.size(), 1u);
    next_ = (sent_.frame(0).sequence() + 1).value;
    sent_.clear();
    EXPECT_TRUE(receive(segment(1'001, next_, tcp_flag::ack)));
    EXPECT_TRUE(sent_.packets.empty());
  }
  void turn(std::chrono::nanoseconds later = 0ns) {
    now_ns_ += static_cast<std::uint64_t>(later.count());
    host_->turn(now_ns_);
  }

  nic::MbufPool received_ = make_pool("host_received");
  nic::MbufPool headers_ = make_pool("host_headers");
  nic::MbufPool clones_ = make_pool("host_clones", nic::no_room);
  nic::MbufPool payload_ = make_pool("host_payload");
  test::Echo application_;
  Sent sent_;
  TcpHostSetup setup_;
  std::unique_ptr<TcpHost> host_;
  std::uint64_t now_ns_ = 1'000'000'000;
  std::uint32_t next_ = 0;
  const void* last_received_ = nullptr;
};

using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(TcpHostTest, Families);

TYPED_TEST(TcpHostTest, AnswersASynWithAWholePacket) {
  EXPECT_TRUE(this->receive(this->segment(1'000, 0, tcp_flag::syn)));
  ASSERT_EQ(this->sent_.packets.size(), 1u);
  Frame answer = this->sent_.frame(0);
  EXPECT_TRUE(answer.checksums_right());
  EXPECT_EQ(answer.flags(), tcp_flag::syn | tcp_flag::ack);
  EXPECT_EQ(answer.acknowledgment(), Sequence{1'001});
  const packet::PacketView view = answer.parse();
  EXPECT_EQ(view.kind, packet::PacketKind::l4);
  EXPECT_EQ(view.template source<TypeParam>(), test::address<TypeParam>(ours<TypeParam>));
  if (!TypeParam::is_v6) {
    EXPECT_EQ(answer.l3()[6] & 0x40, 0x40) << "path MTU discovery needs \"don't fragment\"";
  }
}

TYPED_TEST(TcpHostTest, PassesReceivedBuffersOnWithoutCopyingThem) {
  this->open();
  const Frame data = this->segment(1'001, this->next_, tcp_flag::ack | tcp_flag::psh, 500);
  EXPECT_TRUE(this->receive(data));
  const void* received = this->last_received_;
  this->turn();
  ASSERT_EQ(this->sent_.packets.size(), 1u);
  Frame echoed = this->sent_.frame(0);
  EXPECT_TRUE(echoed.checksums_right());
  EXPECT_EQ(payload_of(echoed), payload_of(data));
  const rte_mbuf* clone = this->sent_.packets[0]->next;
  ASSERT_NE(clone, nullptr);
  EXPECT_EQ(clone->buf_addr, received);
  EXPECT_EQ(this->host_->counters().copied.get(), 0u);
}

TYPED_TEST(TcpHostTest, ARepetitionDoesNotTouchAPacketThatIsStillInTheRing) {
  this->open();
  EXPECT_TRUE(this->receive(this->segment(1'001, this->next_, tcp_flag::ack, 500)));
  this->turn();
  ASSERT_EQ(this->sent_.packets.size(), 1u);
  const Frame first = this->sent_.frame(0);
  this->turn(3s);
  ASSERT_EQ(this->sent_.packets.size(), 2u);
  EXPECT_EQ(this->sent_.frame(0).bytes, first.bytes);
  EXPECT_EQ(payload_of(this->sent_.frame(1)), payload_of(first));
  EXPECT_NE(this->sent_.packets[0], this->sent_.packets[1]);
  EXPECT_EQ(this->sent_.packets[0]->next->buf_addr, this->sent_.packets[1]->next->buf_addr);
}

TYPED_TEST(TcpHostTest, ABufferOutlivesItsAcknowledgmentUntilTheDriverHasSentIt) {
  this->open();
  EXPECT_TRUE(this->receive(this->segment(1'001, this->next_, tcp_flag::ack, 500)));
  this->turn();
  const Frame before = this->sent_.frame(0);
  EXPECT_TRUE(this->receive(this->segment(1'501, this->next_ + 500, tcp_flag::ack)));
  EXPECT_EQ(this->host_->queue_nodes_used(), 0u);
  EXPECT_EQ(this->sent_.frame(0).bytes, before.bytes);
}

TYPED_TEST(TcpHostTest, CopiesForAPortThatTakesNoChainsAndCountsIt) {
  this->sent_.link.takes_chains = false;
  this->open();
  const Frame data = this->segment(1'001, this->next_, tcp_flag::ack, 499);
  EXPECT_TRUE(this->receive(data));
  this->turn();
  ASSERT_EQ(this->sent_.packets.size(), 1u);
  EXPECT_EQ(this->sent_.packets[0]->nb_segs, 1);
  Frame echoed = this->sent_.frame(0);
  EXPECT_TRUE(echoed.checksums_right());
  EXPECT_EQ(payload_of(echoed), payload_of(data));
  EXPECT_EQ(this->host_->counters().copied.get(), 499u);
}

TYPED_TEST(TcpHostTest, LeavesTheChecksumToAPortThatComputesIt) {
  this->sent_.link.computes_checksum = true;
  this->open();
  EXPECT_TRUE(this->receive(this->segment(1'001, this->next_, tcp_flag::ack, 499)));
  this->turn();
  ASSERT_EQ(this->sent_.packets.size(), 1u);
  const rte_mbuf* packet = this->sent_.packets[0];
  EXPECT_NE(packet->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM, 0u);
  EXPECT_EQ(packet->l2_len, 14);
  EXPECT_EQ(packet->l3_len, TypeParam::header_size);
  // What hardware does: the sum over header, payload and what it finds in the field.
  Frame frame = this->sent_.frame(0);
  const std::uint16_t checksum = test::slow_checksum(frame.l4());
  test::put16(frame.bytes, frame.l4_offset() + 16, checksum);
  EXPECT_TRUE(frame.checksums_right());
}

TYPED_TEST(TcpHostTest, RefusesAWrongChecksumUnlessThePortHasJudgedIt) {
  this->open();
  this->application_.answering = false;
  Frame broken = this->segment(1'001, this->next_, tcp_flag::ack, 100);
  broken.bytes.back() ^= 0x01;
  EXPECT_FALSE(this->receive(broken));
  EXPECT_EQ(this->host_->counters().checksum_wrong.get(), 1u);
  const Frame whole = this->segment(1'001, this->next_, tcp_flag::ack, 100);
  EXPECT_FALSE(this->receive(whole, SIZE_MAX, RTE_MBUF_F_RX_L4_CKSUM_BAD));
  EXPECT_TRUE(this->application_.received.empty());
  EXPECT_TRUE(this->receive(broken, SIZE_MAX, RTE_MBUF_F_RX_L4_CKSUM_GOOD));
  EXPECT_EQ(this->application_.octets().size(), 100u);
}

TYPED_TEST(TcpHostTest, TakesAPacketInSeveralBuffersWhereverItIsCut) {
  this->open();
  this->application_.answering = false;
  std::uint32_t sequence = 1'001;
  Bytes expected;
  for (const std::size_t payload_in_first : {0U, 1U, 99U, 300U}) {
    const Frame data = this->segment(sequence, this->next_, tcp_flag::ack, 301);
    EXPECT_TRUE(this->receive(data, data.bytes.size() - 301 + payload_in_first));
    test::append(expected, payload_of(data));
    sequence += 301;
  }
  EXPECT_EQ(this->application_.octets(), expected);
  const Frame last = this->segment(sequence, this->next_, tcp_flag::ack | tcp_flag::fin, 50);
  EXPECT_TRUE(this->receive(last, last.bytes.size() - 10));
  EXPECT_EQ(this->application_.octets().size(), expected.size() + 50);
  EXPECT_EQ(this->host_->stack().find(this->application_.connection)->state(), tcp::State::close_wait);
}

TYPED_TEST(TcpHostTest, IgnoresWhatALinkHasPaddedAShortFrameWith) {
  this->open();
  this->application_.answering = false;
  Frame padded = this->segment(1'001, this->next_, tcp_flag::ack, 1);
  padded.bytes.resize(padded.bytes.size() + 20, 0xaa);
  EXPECT_TRUE(this->receive(padded));
  EXPECT_EQ(this->application_.octets(), Bytes{'a'});
}

TYPED_TEST(TcpHostTest, SendsSmallerSegmentsAfterARouterHasSaidSo) {
  // Its SYN says that it takes segments of 1,400 octets.
  Frame syn = test::tcp<TypeParam>(
      test::tuple<TypeParam>(packet::protocol_tcp, client<TypeParam>, client_port, ours<TypeParam>, port),
      {.sequence = {1'000}, .flags = tcp_flag::syn, .options = {2, 4, 1'400 >> 8, 1'400 & 0xff}});
  EXPECT_TRUE(this->receive(syn));
  this->next_ = (this->sent_.frame(0).sequence() + 1).value;
  this->sent_.clear();
  EXPECT_TRUE(this->receive(this->segment(1'001, this->next_, tcp_flag::ack, 1'400)));
  this->turn();
  ASSERT_EQ(this->sent_.packets.size(), 1u);
  Frame offending = this->sent_.frame(0);
  ASSERT_EQ(payload_of(offending).size(), 1'400u);
  this->sent_.clear();
  Bytes room(packet::largest_built_packet);
  room.resize(packet::build_too_big<TypeParam>(room, offending.parse(), 1'300));
  Frame error = test::framed(room);
  const packet::PacketView view = error.parse();
  EXPECT_TRUE(this->receive_error(view));
  const std::size_t most = 1'300 - TypeParam::header_size - packet::tcp_header_size;
  ASSERT_EQ(this->sent_.packets.size(), 2u);
  EXPECT_EQ(payload_of(this->sent_.frame(0)).size(), most);
  EXPECT_EQ(payload_of(this->sent_.frame(1)).size(), 1'400 - most);
}

TYPED_TEST(TcpHostTest, AnUnreachablePortEndsAnAttemptToConnect) {
  const tcp::ConnectionId id = this->host_->connect(service::Address::parse(ours<TypeParam>).value(),
                                                    service::Address::parse(client<TypeParam>).value(), 443,
                                                    this->application_.settings, TcpHost::time_of(this->now_ns_));
  ASSERT_NE(this->host_->stack().find(id), nullptr);
  Frame syn = this->sent_.frame(0);
  Bytes room(packet::largest_built_packet);
  room.resize(packet::build_port_unreachable<TypeParam>(room, syn.parse()));
  Frame error = test::framed(room);
  const packet::PacketView view = error.parse();
  EXPECT_TRUE(this->receive_error(view));
  EXPECT_EQ(this->application_.cause, tcp::Cause::unreachable);
}

TYPED_TEST(TcpHostTest, IsNotTheOneWhoAnswersForErrorsAboutOthers) {
  const char* other = TypeParam::is_v6 ? "2001:db8:77::8" : "198.51.100.8";
  Frame foreign =
      test::tcp<TypeParam>(test::tuple<TypeParam>(packet::protocol_tcp, other, client_port, client<TypeParam>, port));
  Bytes room(packet::largest_built_packet);
  room.resize(packet::build_too_big<TypeParam>(room, foreign.parse(), 1'280));
  Frame error = test::framed(room);
  const packet::PacketView view = error.parse();
  EXPECT_FALSE(this->receive_error(view));
}

TYPED_TEST(TcpHostTest, SingleOctetsDoNotHoldABufferEach) {
  this->open();
  this->application_.answering = false;
  tcp::SliceQueue queue;
  Bytes expected;
  for (std::uint32_t count = 0; count < 150; ++count) {
    const Frame data = this->segment(1'001 + count, this->next_, tcp_flag::ack, 1);
    EXPECT_TRUE(this->receive(data));
    ASSERT_TRUE(queue.push(this->host_->memory(), this->application_.received.front()));
    this->application_.received.pop_front();
    this->host_->compact(queue);
    this->sent_.clear();
    test::append(expected, payload_of(data));
  }
  EXPECT_LE(this->received_.capacity() - this->received_.available(), 16u);
  EXPECT_EQ(queue.octets(), 150u);
  Bytes kept;
  for (; !queue.empty(); queue.trim(this->host_->memory(), 2'048)) {
    const tcp::Slice& slice = queue.front(this->host_->memory());
    test::append(kept, {TcpHost::data_of(slice), slice.length});
  }
  EXPECT_EQ(kept, expected);
}

TYPED_TEST(TcpHostTest, WhatTheApplicationLeavesUnreadLowersTheShares) {
  this->open();
  this->turn(1ms);
  const std::uint32_t before = this->host_->pressure().share();
  this->application_.answering = false;
  for (std::uint32_t count = 0; count < 115; ++count) {  // of the 150 that it may hold
    EXPECT_TRUE(this->receive(this->segment(1'001 + count * 50, this->next_, tcp_flag::ack, 50)));
    this->sent_.clear();
  }
  this->turn(1ms);
  EXPECT_EQ(this->host_->held(), 115u);
  EXPECT_LT(this->host_->pressure().share(), before);
}

TYPED_TEST(TcpHostTest, FewNodesForManyBuffersAreNoPressureUntilTheyAreUsed) {
  this->host_.reset();
  this->setup_.queue_nodes = 64;
  this->setup_.most_held = 100'000;
  this->host_ = std::make_unique<TcpHost>(this->setup_, this->sent_, 0);
  this->turn(1ms);
  EXPECT_FALSE(this->host_->pressure().scarce());
  tcp::SliceQueue queue;
  while (queue.push(this->host_->memory(), TcpHost::slice_of(this->payload_.allocate().release())) &&
         queue.slices() < 60) {
  }
  this->turn(1ms);
  EXPECT_TRUE(this->host_->pressure().full());
  queue.clear(this->host_->memory());
}

TYPED_TEST(TcpHostTest, WithoutARouteOrABufferASegmentIsLostAndNamed) {
  this->sent_.reachable = false;
  EXPECT_TRUE(this->receive(this->segment(1'000, 0, tcp_flag::syn)));
  EXPECT_EQ(this->host_->counters().unsendable.get(), 1u);
  this->sent_.reachable = true;
  std::vector<rte_mbuf*> all(this->headers_.capacity());
  ASSERT_TRUE(this->headers_.allocate(all));
  this->turn(1'500ms);
  EXPECT_EQ(this->host_->counters().unsendable.get(), 2u);
  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
  this->turn(2'500ms);
  EXPECT_EQ(this->sent_.packets.size(), 1u) << "the SYN-ACK is repeated";
}

TYPED_TEST(TcpHostTest, ConnectsFromPortsWhoseAnswersComeToItsWorker) {
  const auto local = service::Address::parse(ours<TypeParam>).value();
  const auto remote = service::Address::parse(client<TypeParam>).value();
  this->host_.reset();
  for (std::uint16_t worker = 0; worker < 3; ++worker) {
    this->setup_.worker = {worker};
    this->setup_.workers = 3;
    TcpHost host(this->setup_, this->sent_, 0);
    for (int count = 0; count < 10; ++count) {
      const tcp::ConnectionId id = host.connect(local, remote, 443, this->application_.settings, tcp::Time{});
      ASSERT_NE(host.stack().find(id), nullptr);
      Frame syn = this->sent_.frame(this->sent_.packets.size() - 1);
      const std::uint16_t local_port = test::get16(syn.l4(), 0);
      Frame answer = test::tcp<TypeParam>(
          test::tuple<TypeParam>(packet::protocol_tcp, client<TypeParam>, 443, ours<TypeParam>, local_port));
      EXPECT_EQ(host.owner_of(tcp::endpoints_of(answer.parse())).value, worker);
    }
    this->sent_.clear();
  }
}

TYPED_TEST(TcpHostTest, APortIsFreeAgainWhenItsConnectionIsOver) {
  const auto local = service::Address::parse(ours<TypeParam>).value();
  const auto remote = service::Address::parse(client<TypeParam>).value();
  this->host_.reset();
  this->setup_.local_ports = {40'000, 40'003};
  TcpHost host(this->setup_, this->sent_, 0);
  for (int round = 0; round < 20; ++round) {
    std::vector<tcp::ConnectionId> ids;
    for (int count = 0; count < 4; ++count) {
      ids.push_back(host.connect(local, remote, 443, this->application_.settings, tcp::Time{}));
      EXPECT_NE(host.stack().find(ids.back()), nullptr);
    }
    EXPECT_EQ(host.stack().find(host.connect(local, remote, 443, this->application_.settings, tcp::Time{})), nullptr);
    for (const tcp::ConnectionId id : ids) {
      host.stack().abort(id, tcp::Time{});
    }
    this->sent_.clear();
  }
}

}  // namespace
}  // namespace steelyard::worker

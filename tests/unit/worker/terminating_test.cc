// TCP that ends on workers, from wire to wire: whose it is, whoever receives it, and what becomes of the rest.
#include "dataplane/packet/build.h"
#include "tests/unit/worker/stand.h"
#include "tests/unit/worker/tcp_echo.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::Bytes;
using test::DropReason;
using test::Echo;
using test::Frame;
using test::lan;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace packet::tcp_flag;

constexpr std::uint16_t segment_size = 1'400;

Bytes payload_of(Frame frame) {
  return frame.tcp_payload();
}

template <class Family>
class Terminating : public ::testing::Test {
 protected:
  using S = Scene<Family>;

  [[nodiscard]] static Frame segment(std::uint16_t client_port, std::uint32_t sequence, std::uint32_t acknowledgment,
                                     std::uint8_t flags, std::size_t payload = 0, std::uint16_t port = Echo::port) {
    Bytes options;
    if ((flags & syn) != 0) {
      options = {2, 4, segment_size >> 8, segment_size & 0xff};
    }
    return test::tcp<Family>(test::tuple<Family>(packet::protocol_tcp, S::client, client_port, S::vip, port),
                             {.sequence = {sequence},
                              .acknowledgment = {acknowledgment},
                              .flags = flags,
                              .options = options,
                              .payload = payload});
  }
  // A client's ports whose connections are a worker's. The stand may be any with two workers.
  [[nodiscard]] std::vector<std::uint16_t> ports_of(std::uint16_t worker, std::uint16_t first, std::size_t count) {
    std::vector<std::uint16_t> ports;
    for (std::uint16_t client_port = first; ports.size() < count; ++client_port) {
      if (stand_.owner(test::address<Family>(S::client), __builtin_bswap16(client_port)) == worker) {
        ports.push_back(client_port);
      }
    }
    return ports;
  }
  [[nodiscard]] std::uint16_t port_of(std::uint16_t worker) { return ports_of(worker, 20'000, 1).front(); }
  // All that has gone out to the clients.
  std::vector<Frame> exchange(const Frame& frame, std::uint16_t at) {
    stand_.receive(wan, frame, at);
    stand_.resolve();
    return stand_.sent(wan);
  }
  // The handshake, received by a worker; our next number, the client's being 1'001.
  std::uint32_t open(std::uint16_t client_port, std::uint16_t at) {
    const std::vector<Frame> answers = exchange(segment(client_port, 1'000, 0, syn), at);
    if (answers.size() != 1) {
      ADD_FAILURE() << answers.size() << " answers to a SYN";
      return 0;
    }
    Frame answer = answers[0];
    EXPECT_EQ(answer.flags(), syn | ack);
    const std::uint32_t next = (answer.sequence() + 1).value;
    EXPECT_THAT(exchange(segment(client_port, 1'001, next, ack), at), IsEmpty());
    return next;
  }

  std::array<Echo, 2> echoes_;
  Stand stand_{{.workers = 2, .applications = {&echoes_[0], &echoes_[1]}}};
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Terminating, Families);

TYPED_TEST(Terminating, AConnectionIsItsOwnersWhoeverReceivesItsPackets) {
  for (const std::uint16_t owner : std::array<std::uint16_t, 2>{0, 1}) {
    for (const std::uint16_t receiver : std::array<std::uint16_t, 2>{0, 1}) {
      SCOPED_TRACE(std::to_string(owner) + " received by " + std::to_string(receiver));
      const std::uint16_t client_port = this->port_of(owner);
      const std::uint32_t next = this->open(client_port, receiver);
      const Frame data = this->segment(client_port, 1'001, next, ack | psh, 500);
      std::vector<Frame> echoed = this->exchange(data, receiver);
      ASSERT_THAT(echoed, SizeIs(1));
      EXPECT_TRUE(echoed[0].checksums_right());
      EXPECT_EQ(payload_of(echoed[0]), payload_of(data));
      (void)this->exchange(this->segment(client_port, 1'501, next + 500, rst), receiver);
      EXPECT_EQ(this->echoes_[owner].cause, tcp::Cause::reset_by_peer);
      this->echoes_[owner].cause.reset();
    }
  }
  EXPECT_EQ(this->stand_.all_drops(), 0u);
}

TYPED_TEST(Terminating, WhatAListenerIsThereForIsForwardedAsEver) {
  this->stand_.receive(wan, test::first_packet<TypeParam>(test::nat_port));
  this->stand_.resolve();
  EXPECT_THAT(this->stand_.sent(lan), SizeIs(1));
  EXPECT_THAT(this->stand_.sent(wan), IsEmpty());
}

TYPED_TEST(Terminating, NobodyListensOnOtherPorts) {
  std::vector<Frame> answers = this->exchange(this->segment(20'000, 1'000, 0, syn, 0, Echo::port + 1), 0);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].flags(), rst | ack);
}

TYPED_TEST(Terminating, AWrongChecksumIsDroppedByName) {
  Frame broken = this->segment(this->port_of(0), 1'000, 0, syn);
  broken.bytes.back() ^= 1;
  EXPECT_THAT(this->exchange(broken, 0), IsEmpty());
  EXPECT_EQ(this->stand_.drops(DropReason::l4_checksum_bad), 1u);
}

TYPED_TEST(Terminating, ARoutersWordReachesTheOwnerWhoeverHearsIt) {
  for (const std::uint16_t owner : std::array<std::uint16_t, 2>{0, 1}) {
    const std::uint16_t client_port = this->port_of(owner);
    const std::uint32_t next = this->open(client_port, owner);
    const std::vector<Frame> echoed =
        this->exchange(this->segment(client_port, 1'001, next, ack | psh, segment_size), owner);
    ASSERT_THAT(echoed, SizeIs(1));
    Frame offending = echoed[0];
    Bytes room(packet::largest_built_packet);
    room.resize(packet::build_too_big<TypeParam>(room, offending.parse(), 1'300));
    std::vector<Frame> again = this->exchange(test::framed(room), static_cast<std::uint16_t>(1 - owner));
    const std::size_t most = 1'300 - TypeParam::header_size - packet::tcp_header_size;
    ASSERT_THAT(again, SizeIs(2));
    EXPECT_EQ(payload_of(again[0]).size(), most);
    EXPECT_EQ(payload_of(again[1]).size(), segment_size - most);
    (void)this->exchange(this->segment(client_port, 1'001 + segment_size, next + segment_size, rst), owner);
  }
  EXPECT_EQ(this->stand_.all_drops(), 0u);
}

// Whoever receives the flood: its owner, or a worker that hands it over.
TYPED_TEST(Terminating, InAFloodSynsGiveWayByNameAndWhatIsEstablishedGoesOn) {
  constexpr int bursts = 200;
  for (const std::uint16_t receiver : std::array<std::uint16_t, 2>{0, 1}) {
    SCOPED_TRACE("received by " + std::to_string(receiver));
    const std::uint16_t client_port = this->port_of(0);
    const std::uint32_t next = this->open(client_port, receiver);
    const std::uint64_t before = this->stand_.drops(DropReason::worker_overloaded);
    const std::vector<std::uint16_t> others = this->ports_of(0, client_port + 1, 512);
    std::size_t sent = 0;
    for (int burst = 0; burst < bursts; ++burst) {
      for (int place = 0; place < 32; ++place, ++sent) {
        this->stand_.receive(wan, this->segment(others[sent % others.size()], 1'000, 0, syn), receiver);
      }
      this->stand_.turn();
    }
    this->stand_.settle();
    const std::uint64_t shed = this->stand_.drops(DropReason::worker_overloaded) - before;
    EXPECT_GT(shed, sent / 2);
    EXPECT_EQ(this->stand_.all_drops(), this->stand_.drops(DropReason::worker_overloaded));
    EXPECT_THAT(this->stand_.sent(wan), SizeIs(sent - shed));
    EXPECT_THAT(this->exchange(this->segment(client_port, 1'001, next, ack | psh, 500), receiver), SizeIs(1));
    (void)this->exchange(this->segment(client_port, 1'501, next + 500, rst), receiver);

    for (int turn = 0; turn < 300; ++turn) {
      this->stand_.turn();
    }
    EXPECT_THAT(this->exchange(this->segment(this->port_of(0), 5'000, 0, syn), receiver), SizeIs(1));
    EXPECT_EQ(this->stand_.drops(DropReason::worker_overloaded) - before, shed);
    (void)this->exchange(this->segment(this->port_of(0), 5'001, 0, rst), receiver);
  }
}

TYPED_TEST(Terminating, RepeatsWhatIsNotAcknowledged) {
  const std::uint16_t client_port = this->port_of(0);
  (void)this->exchange(this->segment(client_port, 1'000, 0, syn), 0);
  this->stand_.pass(std::chrono::milliseconds{1'100});
  EXPECT_THAT(this->stand_.sent(wan), SizeIs(1)) << "the SYN-ACK";
}

}  // namespace
}  // namespace steelyard::worker

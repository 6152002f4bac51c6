// Commands through a worker's mailbox: flows counted, listed and reset, some entries a turn.
#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::answer_to;
using test::first_packet;
using test::Frame;
using test::lan;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Action = FlowCommand::Action;

constexpr std::size_t no_records = 0;

l4::FlowFilter of_client(const std::string& address) {
  l4::FlowFilter filter;
  filter.client = test::model_address(address);
  return filter;
}
l4::FlowFilter of_listener(std::uint16_t id) {
  l4::FlowFilter filter;
  filter.listener = service::ListenerId{id};
  return filter;
}
l4::FlowFilter not_ended() {
  l4::FlowFilter filter;
  filter.include_lingering = false;
  return filter;
}

// Ten flows of each family, one of them TCP and established, the others of datagrams.
class Commands : public ::testing::Test {
 protected:
  Commands() {
    open<Ipv4>();
    open<Ipv6>();
    (void)stand.sent(lan);
    (void)stand.sent(wan);
  }
  template <class Family>
  void open() {
    (void)stand.sent(lan);
    const Frame first = first_packet<Family>(test::nat_port, 1);
    stand.receive(wan, first);
    stand.resolve();
    stand.receive(lan, answer_to<Family>(stand.sent(lan).at(0)));
    stand.resolve();
    const auto ends = Frame(first).parse().template tuple<Family>();
    stand.receive(wan, test::tcp(ends, {.sequence = {1'001}, .acknowledgment = {5'001}}));
    for (std::uint16_t port = 2; port <= 10; ++port) {
      stand.receive(wan, first_packet<Family>(test::datagram_port, port));
    }
    stand.resolve();
  }
  // Posts the command and lets the worker work on it.
  FlowCommand& run(FlowCommand& command) {
    EXPECT_TRUE(stand.mailbox().push(&command));
    EXPECT_FALSE(command.done());
    stand.settle();
    EXPECT_TRUE(command.done());
    return command;
  }
  std::uint64_t count(const l4::FlowFilter& filter) {
    FlowCommand command(Action::count, filter, no_records);
    return run(command).matches();
  }

  Stand stand;
};

TEST_F(Commands, FlowsOfBothFamiliesAreCounted) {
  EXPECT_EQ(count({}), 20u);
}

TEST_F(Commands, OnlyFlowsThatMatchAreCounted) {
  EXPECT_EQ(count(of_client(Scene<Ipv6>::client)), 10u);
  EXPECT_EQ(count(of_client("198.51.100.8")), 0u);
  EXPECT_EQ(count(of_listener(1)), 1u);
}

TEST_F(Commands, AListTellsWhoTalksToWhom) {
  FlowCommand command(Action::list, of_listener(1), 100);
  ASSERT_THAT(run(command).records(), SizeIs(1));
  const l4::FlowRecord& record = command.records()[0];
  EXPECT_EQ(record.client, test::model_address(Scene<Ipv4>::client));
  EXPECT_EQ(record.client_port, 1);
  EXPECT_EQ(record.vip, test::model_address(Scene<Ipv4>::vip));
  EXPECT_EQ(record.vip_port, test::nat_port);
  EXPECT_EQ(record.server_port, test::server_port);
  EXPECT_EQ(record.state, l4::FlowState::established);
}

TEST_F(Commands, AListEndsWhenItIsFull) {
  FlowCommand command(Action::list, {}, 7);
  EXPECT_THAT(run(command).records(), SizeIs(7));
}

TEST_F(Commands, AResetTellsBothSidesOfTcpConnections) {
  FlowCommand command(Action::reset, {}, no_records);
  EXPECT_EQ(run(command).matches(), 20u);
  for (const std::uint16_t link : {wan, lan}) {
    auto sent = stand.sent(link);
    EXPECT_THAT(sent, SizeIs(2)) << "one a family";
    for (Frame& frame : sent) {
      EXPECT_NE(frame.flags() & packet::tcp_flag::rst, 0);
      EXPECT_TRUE(frame.checksums_right());
    }
  }
  EXPECT_EQ(count(not_ended()), 0u);
}

TEST_F(Commands, AResetWithoutBuffersEndsTheFlowsAllTheSame) {
  std::vector<nic::Packet> taken;
  while (auto packet = stand.generate().allocate()) {
    taken.push_back(std::move(packet));
  }
  FlowCommand command(Action::reset, {}, no_records);
  EXPECT_EQ(run(command).matches(), 20u);
  EXPECT_THAT(stand.sent(wan), IsEmpty());
  EXPECT_EQ(count(not_ended()), 0u);
}

TEST_F(Commands, CommandsAreDoneInTheOrderOfTheirPosting) {
  FlowCommand reset(Action::reset, {}, no_records);
  FlowCommand after(Action::count, not_ended(), no_records);
  ASSERT_TRUE(stand.mailbox().push(&reset));
  ASSERT_TRUE(stand.mailbox().push(&after));
  stand.settle();
  EXPECT_TRUE(reset.done());
  EXPECT_TRUE(after.done());
  EXPECT_EQ(after.matches(), 0u);
}

TEST_F(Commands, AFullMailboxRefuses) {
  std::vector<std::unique_ptr<FlowCommand>> commands;
  for (int number = 0; number < 8; ++number) {
    commands.push_back(std::make_unique<FlowCommand>(Action::count, l4::FlowFilter{}, no_records));
  }
  for (int number = 0; number < 7; ++number) {
    EXPECT_TRUE(stand.mailbox().push(commands[static_cast<std::size_t>(number)].get()));
  }
  EXPECT_FALSE(stand.mailbox().push(commands[7].get()));
  stand.settle();
  EXPECT_TRUE(commands[6]->done());
}

}  // namespace
}  // namespace steelyard::worker

// HTTP listeners on workers, from wire to wire, as far as TCP goes: whose packets they are, who may come in, and what a
// configuration changes. What is said over the connections is the proxy's (tests/unit/http).
#include <algorithm>
#include <vector>

#include "dataplane/packet/build.h"
#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::Bytes;
using test::DropReason;
using test::Frame;
using test::lan;
using test::model_address;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;
using namespace packet::tcp_flag;

constexpr std::uint16_t http_port = 8'000;
constexpr service::ListenerId http_id{40};

template <class Family>
class HttpListeners : public ::testing::Test {
 protected:
  using S = Scene<Family>;

  explicit HttpListeners(std::size_t ids = 64)
      : stand_({.workers = 2, .generated_buffers = 1'023, .http = true, .ids = ids}) {
    publish({listener()});
  }

  [[nodiscard]] static std::shared_ptr<service::Listener> listener(service::ListenerId id = http_id,
                                                                   const char* address = S::vip) {
    auto made = std::make_shared<service::Listener>();
    made->id = id;
    made->key = {model_address(address), http_port, service::Protocol::tcp};
    made->http = std::make_shared<service::HttpSettings>();
    made->state = std::make_shared<service::ListenerState>(0);
    made->servers_generation = 1;
    return made;
  }
  // A configuration with these listeners beside the scene's. Those that were there before and are not now are told of.
  void publish(const std::vector<std::shared_ptr<service::Listener>>& listeners) {
    auto snapshot = std::make_shared<service::Snapshot>(*scene_);
    std::vector<service::ListenerIndex::Entry> entries;
    for (const auto& each : snapshot->listeners) {
      if (each != nullptr) {
        entries.push_back({each->key, each->id});
      }
    }
    for (const auto& each : listeners) {
      snapshot->listeners.resize(std::max<std::size_t>(snapshot->listeners.size(), each->id.value + 1U));
      snapshot->listeners[each->id.value] = each;
      entries.push_back({each->key, each->id});
      if (each->http != nullptr) {
        terminated_.push_back(each->key);
      }
    }
    snapshot->index = std::make_shared<service::ListenerIndex>(entries);
    snapshot->terminated = std::make_shared<service::EndpointSet>(terminated_);
    stand_.publish(std::move(snapshot));
  }

  [[nodiscard]] static Frame segment(std::uint16_t client_port, std::uint32_t sequence, std::uint32_t acknowledgment,
                                     std::uint8_t flags, const std::string& to = S::vip,
                                     std::uint16_t port = http_port) {
    return test::tcp<Family>(test::tuple<Family>(packet::protocol_tcp, S::client, client_port, to, port),
                             {.sequence = {sequence}, .acknowledgment = {acknowledgment}, .flags = flags});
  }
  [[nodiscard]] std::uint16_t port_of(std::uint16_t worker, std::uint16_t number = 0) {
    std::uint16_t port = 20'000;
    for (;; ++port) {
      if (stand_.owner(test::address<Family>(S::client), __builtin_bswap16(port)) == worker && number-- == 0) {
        return port;
      }
    }
  }
  // All that has gone out to the clients.
  std::vector<Frame> exchange(const Frame& frame, std::uint16_t at = 0) {
    stand_.receive(wan, frame, at);
    stand_.resolve();
    return stand_.sent(wan);
  }
  // The flags of the only answer; 0: there is none.
  std::uint8_t answer_to(const Frame& frame, std::uint16_t at = 0) {
    std::vector<Frame> answers = exchange(frame, at);
    EXPECT_LE(answers.size(), 1u);
    return answers.empty() ? std::uint8_t{0} : answers[0].flags();
  }
  // The handshake; our next number, the client's being 1'001.
  std::uint32_t open(std::uint16_t client_port, std::uint16_t at = 0) {
    std::vector<Frame> answers = exchange(segment(client_port, 1'000, 0, syn), at);
    if (answers.size() != 1 || answers[0].flags() != (syn | ack)) {
      ADD_FAILURE() << "a SYN was not answered";
      return 0;
    }
    const std::uint32_t next = (answers[0].sequence() + 1).value;
    EXPECT_THAT(exchange(segment(client_port, 1'001, next, ack), at), IsEmpty());
    return next;
  }
  // The beginning of a request: what its connection waits for is not an idle client's next one. The client's next
  // number is 1'005.
  void begin_request(std::uint16_t client_port, std::uint32_t next, std::uint16_t at = 0) {
    (void)exchange(
        test::tcp<Family>(test::tuple<Family>(packet::protocol_tcp, S::client, client_port, S::vip, http_port),
                          {.sequence = {1'001}, .acknowledgment = {next}, .flags = ack, .payload = 4}),
        at);
  }
  // Does a connection still answer to an octet that it has had (RFC 9293 section 3.10.7.4)?
  bool lives(std::uint16_t client_port, std::uint32_t next, std::uint16_t at = 0) {
    const std::uint8_t flags = answer_to(segment(client_port, 1'000, next, ack), at);
    return (flags & ack) != 0 && (flags & rst) == 0;
  }
  void run(Command& command, std::uint16_t worker) {
    EXPECT_TRUE(stand_.mailbox(worker).push(&command));
    stand_.settle();
    EXPECT_TRUE(command.done());
  }
  [[nodiscard]] std::uint32_t clients() {
    return stand_.listener(http_id, 0).terminated.get() + stand_.listener(http_id, 1).terminated.get();
  }

  Stand stand_;

 private:
  std::shared_ptr<const service::Snapshot> scene_ = stand_.copy_of_snapshot();
  std::vector<service::VipKey> terminated_;
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(HttpListeners, Families);

TYPED_TEST(HttpListeners, WhoWatchesAClientSeesWhatIsConsumed) {
  const std::uint16_t port = this->port_of(0);
  const auto tap = std::make_shared<Tap>(
      TapFilter{std::nullopt, service::VipKey{model_address(TestFixture::S::vip), http_port, service::Protocol::tcp}},
      0, 2, 1U << 16U);
  this->stand_.watch({tap});
  const std::uint32_t next = this->open(port);
  this->begin_request(port, next);
  std::vector<PacketEvent> events;
  for (auto record = tap->rings[0]->front(); !record.empty(); record = tap->rings[0]->front()) {
    std::memcpy(&events.emplace_back(), record.data(), sizeof(PacketEvent));
    tap->rings[0]->pop();
  }
  ASSERT_THAT(events, SizeIs(3));
  for (const PacketEvent& event : events) {
    EXPECT_EQ(event.facts & ~fact::waits, fact::consumed) << "an answer may wait for its next hop";
    EXPECT_TRUE(event.from_client);
    EXPECT_EQ(event.source.port, port);
    EXPECT_TRUE(event.server.address.is_unspecified()) << "no request has been read";
  }
}

TYPED_TEST(HttpListeners, AConnectionIsItsOwnersWhoeverReceivesItsPackets) {
  for (const std::uint16_t owner : std::array<std::uint16_t, 2>{0, 1}) {
    for (const std::uint16_t receiver : std::array<std::uint16_t, 2>{0, 1}) {
      SCOPED_TRACE(std::to_string(owner) + " received by " + std::to_string(receiver));
      const std::uint16_t client_port = this->port_of(owner);
      const std::uint32_t next = this->open(client_port, receiver);
      EXPECT_EQ(this->stand_.listener(http_id, owner).terminated.get(), 1u);
      EXPECT_TRUE(this->lives(client_port, next, receiver));
      (void)this->exchange(this->segment(client_port, 1'001, next, rst), receiver);
      EXPECT_EQ(this->clients(), 0u);
    }
  }
  EXPECT_EQ(this->stand_.all_drops(), 0u);
}

TYPED_TEST(HttpListeners, WhatALayer4ListenerIsThereForIsForwardedAsEver) {
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port, test::datagram_port}) {
    this->stand_.receive(wan, test::first_packet<TypeParam>(port));
    this->stand_.resolve();
    EXPECT_THAT(this->stand_.sent(lan), SizeIs(1));
  }
  EXPECT_THAT(this->stand_.sent(wan), IsEmpty());
  EXPECT_EQ(this->stand_.worker(0).tcp_counters()->received.get(), 0u);
}

TYPED_TEST(HttpListeners, OtherPortsOfTheVipAreNobodys) {
  EXPECT_EQ(this->answer_to(this->segment(20'000, 1'000, 0, syn, Scene<TypeParam>::vip, http_port + 1)), 0);
  EXPECT_EQ(this->stand_.drops(DropReason::unmatched), 1u);
}

TYPED_TEST(HttpListeners, AnswersToTheUpperLocalPortsAreTheHostsAndOthersLayer4s) {
  for (const std::uint16_t receiver : std::array<std::uint16_t, 2>{0, 1}) {
    for (const std::uint16_t port : std::array<std::uint16_t, 4>{3'000, 3'999, 2'000, 2'999}) {
      const bool terminated = port >= 3'000;
      const std::uint64_t before = this->stand_.worker(port % 2).tcp_counters()->received.get();
      const std::uint64_t without_flow = this->stand_.drops(DropReason::no_flow);
      this->stand_.receive(
          lan,
          test::tcp<TypeParam>(test::tuple<TypeParam>(packet::protocol_tcp, Scene<TypeParam>::server, test::server_port,
                                                      Scene<TypeParam>::local, port)),
          receiver);
      this->stand_.resolve();
      EXPECT_THAT(this->stand_.sent(lan), SizeIs(1)) << "a reset";
      EXPECT_EQ(this->stand_.worker(port % 2).tcp_counters()->received.get() - before, terminated ? 1u : 0u);
      EXPECT_EQ(this->stand_.drops(DropReason::no_flow) - without_flow, terminated ? 0u : 1u);
    }
  }
  // All other ports of a local address are nobody's.
  this->stand_.receive(lan, test::tcp<TypeParam>(test::tuple<TypeParam>(packet::protocol_tcp, Scene<TypeParam>::server,
                                                                        9'999, Scene<TypeParam>::local, 4'000)));
  this->stand_.settle();
  EXPECT_EQ(this->stand_.drops(DropReason::unmatched), 1u);
}

TYPED_TEST(HttpListeners, ConnectionsToServersComeFromTheWorkersOwnLocalPorts) {
  using Here = Scene<TypeParam>;
  for (const std::uint16_t worker : std::array<std::uint16_t, 2>{0, 1}) {
    const service::Server server{model_address(Here::server), test::server_port, 100, {50}};
    const tcp::ConnectionId id = this->stand_.http(worker).ground().connect(server, tcp::Time{10s});
    EXPECT_NE(this->stand_.http(worker).ground().endpoints_of(id), nullptr);
    this->stand_.resolve();
    std::vector<Frame> sent = this->stand_.sent(lan);
    ASSERT_THAT(sent, SizeIs(1));
    EXPECT_EQ(sent[0].flags(), syn);
    EXPECT_TRUE(sent[0].checksums_right());
    const auto tuple = sent[0].parse().template tuple<TypeParam>();
    EXPECT_EQ(tuple.source, test::address<TypeParam>(Here::local));
    EXPECT_EQ(tuple.destination, test::address<TypeParam>(Here::server));
    const std::uint16_t port = __builtin_bswap16(tuple.source_port);
    EXPECT_EQ(port % 2, worker);
    EXPECT_GE(port, 3'000);
    EXPECT_LE(port, 3'999);
  }
}

TYPED_TEST(HttpListeners, WithoutARouteThereIsNoConnection) {
  auto snapshot = this->stand_.copy_of_snapshot();
  snapshot->routes.clear();
  this->stand_.publish(std::move(snapshot));
  this->stand_.settle();
  const service::Server server{model_address(Scene<TypeParam>::server), test::server_port, 100, {50}};
  const tcp::ConnectionId id = this->stand_.http().ground().connect(server, tcp::Time{10s});
  EXPECT_EQ(this->stand_.http().ground().endpoints_of(id), nullptr);
}

TYPED_TEST(HttpListeners, TheProxyLearnsHowManyBuffersAreFree) {
  http::Ground& ground = this->stand_.http().ground();
  EXPECT_EQ(ground.slack().free_eighths, 8);
  EXPECT_TRUE(ground.slack().keeps_up);
  std::vector<tcp::Slice> held;
  while (ground.slack().free_eighths >= 4) {
    const auto room = ground.allocate();
    ASSERT_TRUE(room);
    held.push_back(room->slice);
  }
  EXPECT_EQ(held.size(), 128U) << "of 255";
  for (const tcp::Slice& slice : held) {
    ground.memory().release(slice);
  }
  EXPECT_EQ(ground.slack().free_eighths, 8);
}

TYPED_TEST(HttpListeners, ConnectionsAreListedWithWhatTheyDoAndHowTcpIs) {
  using Action = ConnectionCommand::Action;
  const std::uint16_t idle = this->port_of(1);
  const std::uint16_t reading = this->port_of(1, 1);
  (void)this->open(idle);
  this->begin_request(reading, this->open(reading));
  ConnectionCommand list(Action::list, {}, 10);
  this->run(list, 1);
  ASSERT_THAT(list.records(), SizeIs(2));
  for (const ConnectionRecord& record : list.records()) {
    const bool reads = record.remote.port == reading;
    EXPECT_EQ(record.remote, (ConnectionEnd{model_address(Scene<TypeParam>::client), reads ? reading : idle}));
    EXPECT_EQ(record.listener, (ConnectionEnd{model_address(Scene<TypeParam>::vip), http_port}));
    EXPECT_EQ(record.local, record.listener);
    EXPECT_EQ(record.side, http::Side::client);
    EXPECT_EQ(record.activity, reads ? http::Activity::reading : http::Activity::idle);
    EXPECT_EQ(record.state, tcp::State::established);
    EXPECT_EQ(record.unread, reads ? 4U : 0U);
    EXPECT_EQ(record.unacknowledged, 0U);
    EXPECT_GT(record.window, 0U);
    EXPECT_EQ(record.other, std::nullopt);
  }
  ConnectionCommand full(Action::list, {}, 1);
  this->run(full, 1);
  EXPECT_THAT(full.records(), SizeIs(1));
  ConnectionCommand other_worker(Action::count, {}, 0);
  this->run(other_worker, 0);
  EXPECT_EQ(other_worker.matches(), 0U);
}

// Our own answers and servers' go the same way: Ground::send.
TYPED_TEST(HttpListeners, ClientsAreSentNoMoreThanTheListenersBandwidth) {
  auto limited = this->listener();
  limited->bandwidth = 200'000;  // bytes a second, a half of them this worker's; 10'000 at once
  this->publish({limited});
  (void)this->open(this->port_of(0));
  (void)this->open(this->port_of(0, 1));
  http::Ground& ground = this->stand_.http(0).ground();
  const std::array<tcp::ConnectionId, 2> clients{tcp::ConnectionId{0, 0}, tcp::ConnectionId{1, 0}};
  const auto room = ground.allocate();
  ASSERT_TRUE(room);
  const tcp::Slice slice = room->slice.first(1'000);
  const auto send = [&](tcp::ConnectionId client, std::size_t count, bool last = false) {
    std::vector<tcp::Slice> slices(count, slice);
    for (std::size_t more = 0; more < count; ++more) {
      ground.memory().retain(slice);
    }
    const tcp::Time now = TcpHost::time_of(this->stand_.now_ns());
    const std::size_t taken = last ? ground.send_last(client, slices, now) : ground.send(client, slices, now);
    for (std::size_t left = taken; left < count; ++left) {
      ground.memory().release(slice);
    }
    return taken;
  };
  ASSERT_NE(ground.endpoints_of(clients[0]), nullptr);
  ASSERT_NE(ground.endpoints_of(clients[1]), nullptr);
  EXPECT_EQ(send(clients[0], 12), 10U);
  EXPECT_EQ(send(clients[1], 1), 0U) << "all of a listener's clients share it";
  EXPECT_EQ(send(clients[1], 0, true), 0U) << "to say that nothing follows takes nothing";
  this->stand_.pass(50ms);
  EXPECT_THAT(send(clients[0], 12), ::testing::AllOf(::testing::Ge(4U), ::testing::Le(5U)));
  this->publish({this->listener()});
  this->stand_.settle();
  EXPECT_EQ(send(clients[0], 2), 2U);
  ground.memory().release(slice);
}

TYPED_TEST(HttpListeners, AConnectionToAServerIsListedAsWhatItIs) {
  const service::Server server{model_address(Scene<TypeParam>::server), test::server_port, 100, {50}};
  (void)this->stand_.http(0).ground().connect(server, tcp::Time{10s});
  ConnectionFilter filter;
  filter.server = server.address;
  ConnectionCommand list(ConnectionCommand::Action::list, filter, 10);
  this->run(list, 0);
  ASSERT_THAT(list.records(), SizeIs(1));
  EXPECT_EQ(list.records()[0].side, http::Side::server);
  EXPECT_EQ(list.records()[0].remote, (ConnectionEnd{server.address, server.port}));
  EXPECT_EQ(list.records()[0].state, tcp::State::syn_sent);
}

TYPED_TEST(HttpListeners, ConnectionsThatMatchAreClearedAndNoOthers) {
  using Action = ConnectionCommand::Action;
  (void)this->open(this->port_of(0));
  ConnectionFilter filter;
  filter.client = model_address(Scene<TypeParam>::server);
  ConnectionCommand nobody(Action::clear, filter, 0);
  this->run(nobody, 0);
  EXPECT_EQ(nobody.matches(), 0U);
  EXPECT_EQ(this->clients(), 1U);
  filter.client = model_address(Scene<TypeParam>::client);
  filter.listener = this->listener()->key;
  ConnectionCommand clear(Action::clear, filter, 0);
  this->run(clear, 0);
  EXPECT_EQ(clear.matches(), 1U);
  EXPECT_EQ(this->clients(), 0U);
  std::vector<Frame> sent = this->stand_.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_NE(sent[0].flags() & rst, 0);
}

TYPED_TEST(HttpListeners, AnAccessListKeepsClientsOutByName) {
  auto closed = this->listener();
  closed->access = std::make_shared<service::AccessControl>(service::AccessType::white, std::span<service::Prefix>{});
  this->publish({closed});
  for (const std::uint16_t receiver : std::array<std::uint16_t, 2>{0, 1}) {
    EXPECT_EQ(this->answer_to(this->segment(this->port_of(0), 1'000, 0, syn), receiver), 0);
  }
  EXPECT_EQ(this->stand_.drops(DropReason::access_denied), 2u);
  EXPECT_EQ(this->stand_.listener(http_id, 0).access_denied.get(), 2u);
}

TYPED_TEST(HttpListeners, WhoIsShutOutByAReloadLosesHisConnections) {
  const std::uint16_t client_port = this->port_of(1);
  (void)this->open(client_port);
  auto closed = this->listener();
  closed->access = std::make_shared<service::AccessControl>(service::AccessType::white, std::span<service::Prefix>{});
  this->publish({closed});
  this->stand_.settle();
  std::vector<Frame> sent = this->stand_.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_NE(sent[0].flags() & rst, 0);
  EXPECT_EQ(this->clients(), 0u);
}

TYPED_TEST(HttpListeners, OneOfOurAddressesIsNoClient) {
  using Here = Scene<TypeParam>;
  for (const char* source : {Here::own, Here::local}) {
    const Frame forged =
        test::tcp<TypeParam>(test::tuple<TypeParam>(packet::protocol_tcp, source, 1'234, Here::vip, http_port),
                             {.sequence = {1}, .flags = syn});
    EXPECT_EQ(this->answer_to(forged), 0);
  }
  EXPECT_EQ(this->stand_.drops(DropReason::ip_source_bad), 2u);
}

TYPED_TEST(HttpListeners, ARemovedListenerKeepsItsConnectionsAndTakesNoMore) {
  const std::uint16_t client_port = this->port_of(1);
  const std::uint32_t next = this->open(client_port);
  this->begin_request(client_port, next);
  this->publish({});
  EXPECT_EQ(this->answer_to(this->segment(this->port_of(1, 1), 1'000, 0, syn)), rst | ack)
      << "in the first turn with the new configuration";
  this->stand_.settle();
  (void)this->stand_.sent(wan);
  EXPECT_TRUE(this->lives(client_port, next));
  EXPECT_EQ(this->answer_to(this->segment(this->port_of(1, 1), 1'000, 0, syn)), rst | ack);
  EXPECT_EQ(this->clients(), 1u);
  (void)this->exchange(this->segment(client_port, 1'005, next, rst));
  EXPECT_EQ(this->clients(), 0u) << "control sees that nobody is left";
}

TYPED_TEST(HttpListeners, AHandshakeThatEndsAfterItsListenerIsNoConnection) {
  const std::uint16_t client_port = this->port_of(0);
  std::vector<Frame> answers = this->exchange(this->segment(client_port, 1'000, 0, syn));
  ASSERT_THAT(answers, SizeIs(1));
  this->publish({});
  EXPECT_NE(this->answer_to(this->segment(client_port, 1'001, (answers[0].sequence() + 1).value, ack)) & rst, 0);
  EXPECT_EQ(this->clients(), 0u);
}

TYPED_TEST(HttpListeners, AStoppedListenerRefusesByNameUntilItRunsAgain) {
  const std::uint16_t client_port = this->port_of(0);
  const std::uint32_t next = this->open(client_port);
  this->begin_request(client_port, next);
  auto stopped = this->listener();
  stopped->running = false;
  this->publish({stopped});
  EXPECT_EQ(this->answer_to(this->segment(this->port_of(0, 1), 1'000, 0, syn)), rst | ack);
  EXPECT_EQ(this->stand_.drops(DropReason::listener_stopped), 1u);
  (void)this->stand_.sent(wan);
  EXPECT_TRUE(this->lives(client_port, next));
  this->publish({this->listener()});
  (void)this->open(this->port_of(0, 1));
}

TYPED_TEST(HttpListeners, AListenerThatBecomesLayer4sKeepsItsConnections) {
  const std::uint16_t client_port = this->port_of(1);
  const std::uint32_t next = this->open(client_port);
  auto forwarding = std::make_shared<service::Listener>(*this->stand_.copy_of_snapshot()->listeners[1]);
  forwarding->id = {41};
  forwarding->key = this->listener()->key;
  this->publish({forwarding});
  this->stand_.settle();
  (void)this->stand_.sent(wan);
  EXPECT_TRUE(this->lives(client_port, next));
  if constexpr (!TypeParam::is_v6) {
    this->stand_.receive(wan, this->segment(this->port_of(1, 1), 1'000, 0, syn));
    this->stand_.resolve();
    EXPECT_THAT(this->stand_.sent(lan), SizeIs(1));
  }
}

TYPED_TEST(HttpListeners, ASourceHasNoMoreConnectionsThanItMay) {
  auto limiting = this->listener();
  limiting->per_source.connections = 1;
  this->publish({limiting});
  const std::uint16_t client_port = this->port_of(0);
  const std::uint32_t next = this->open(client_port);
  // Counted together, whoever owns them.
  EXPECT_EQ(this->answer_to(this->segment(this->port_of(1), 1'000, 0, syn)), 0);
  EXPECT_EQ(this->stand_.drops(DropReason::source_connections_exceeded), 1u);
  EXPECT_TRUE(this->lives(client_port, next));
  (void)this->exchange(this->segment(client_port, 1'001, next, rst));
  (void)this->open(this->port_of(1));
}

TYPED_TEST(HttpListeners, ASourceThatSendsItsSynsTogetherHasNoMoreEither) {
  auto limiting = this->listener();
  limiting->per_source.connections = 1;
  this->publish({limiting});
  std::vector<std::uint32_t> next;
  for (const std::uint16_t number : std::array<std::uint16_t, 2>{0, 1}) {
    std::vector<Frame> answers = this->exchange(this->segment(this->port_of(0, number), 1'000, 0, syn));
    ASSERT_THAT(answers, SizeIs(1));
    next.push_back((answers[0].sequence() + 1).value);
  }
  EXPECT_EQ(this->answer_to(this->segment(this->port_of(0, 0), 1'001, next[0], ack)), 0);
  EXPECT_NE(this->answer_to(this->segment(this->port_of(0, 1), 1'001, next[1], ack)) & rst, 0);
  EXPECT_EQ(this->clients(), 1u);
  EXPECT_EQ(this->stand_.listener(http_id, 0).source_connections_exceeded.get(), 1u);
}

TYPED_TEST(HttpListeners, ARepeatedSynIsNoAttemptOfItsOwn) {
  auto limiting = this->listener();
  limiting->connection_rate = 1;
  this->publish({limiting});
  for (int repetition = 0; repetition < 3; ++repetition) {
    EXPECT_EQ(this->answer_to(this->segment(this->port_of(0), 1'000, 0, syn)), syn | ack);
  }
  EXPECT_EQ(this->answer_to(this->segment(this->port_of(0, 1), 1'000, 0, syn)), 0);
  EXPECT_EQ(this->stand_.drops(DropReason::connection_rate_exceeded), 1u);
}

TYPED_TEST(HttpListeners, ARoutersWordReachesTheOwnerWhoeverHearsIt) {
  for (const std::uint16_t owner : std::array<std::uint16_t, 2>{0, 1}) {
    const std::uint16_t client_port = this->port_of(owner);
    std::vector<Frame> answers = this->exchange(this->segment(client_port, 1'000, 0, syn));
    ASSERT_THAT(answers, SizeIs(1));
    Bytes room(packet::largest_built_packet);
    room.resize(packet::build_too_big<TypeParam>(room, answers[0].parse(), 1'300));
    const std::uint64_t consumed = this->stand_.packets(owner).consumed.get();
    this->stand_.receive(wan, test::framed(room), static_cast<std::uint16_t>(1 - owner));
    this->stand_.settle();
    EXPECT_EQ(this->stand_.packets(owner).consumed.get() - consumed, 1u);
  }
  EXPECT_EQ(this->stand_.all_drops(), 0u);
}

TYPED_TEST(HttpListeners, FragmentsAreDroppedByName) {
  Frame large = this->segment(20'000, 1'000, 0, syn);
  large.bytes.resize(large.bytes.size());
  // A first fragment with the whole header: not put together.
  const std::uint64_t before = this->stand_.worker(0).tcp_counters()->received.get();
  if constexpr (!TypeParam::is_v6) {
    large.bytes[14 + 6] |= 0x20;  // more fragments
    large.bytes.resize(14 + 20 + 24);
    test::put16(large.bytes, 14 + 2, 20 + 24);
    large.fix_checksums();
    this->stand_.receive(wan, large);
    this->stand_.settle();
    EXPECT_EQ(this->stand_.drops(DropReason::fragment_first_dropped), 1u);
  }
  EXPECT_EQ(this->stand_.worker(0).tcp_counters()->received.get(), before);
}

template <class Family>
class ManyHttpListeners : public HttpListeners<Family> {
 protected:
  static constexpr std::uint16_t first_id = 100;
  static constexpr std::uint16_t many = 10'000;

  ManyHttpListeners() : HttpListeners<Family>(16'384) {}

  [[nodiscard]] static std::string address(unsigned number) {
    if constexpr (Family::is_v6) {
      return "2001:db8:1:1::" + std::to_string(1 + number % 100) + ":" + std::to_string(1 + number / 100);
    } else {
      return "203." + std::to_string(number / 200) + ".113." + std::to_string(1 + number % 200);
    }
  }
  [[nodiscard]] std::vector<std::shared_ptr<service::Listener>> listeners() const {
    std::vector<std::shared_ptr<service::Listener>> all;
    for (std::uint16_t number = 0; number < many; ++number) {
      all.push_back(this->listener({static_cast<std::uint16_t>(first_id + number)}, address(number).c_str()));
    }
    return all;
  }
  std::uint8_t knock(std::uint16_t number) {
    const Frame frame = this->segment(this->port_of(0), 1'000, 0, syn, address(number));
    const std::uint8_t flags = this->answer_to(frame);
    if (flags == (syn | ack)) {
      (void)this->exchange(this->segment(this->port_of(0), 1'001, 0, rst, address(number)));
    }
    return flags;
  }
};
TYPED_TEST_SUITE(ManyHttpListeners, Families);

TYPED_TEST(ManyHttpListeners, AreAdoptedInStepsThatNoClientNotices) {
  auto all = this->listeners();
  this->publish(all);
  this->stand_.turn(0);
  EXPECT_GT(this->stand_.turn(0), 0u) << "there is more to do";
  EXPECT_EQ(this->knock(TestFixture::many - 1), syn | ack) << "not waited for";
  this->stand_.settle();
  for (std::uint16_t number = 0; number < TestFixture::many; number += 101) {
    ASSERT_EQ(this->knock(number), syn | ack) << number;
  }
  all.resize(all.size() / 2);
  this->publish(all);
  EXPECT_EQ(this->knock(TestFixture::many - 1), rst | ack);
  this->stand_.settle();
  EXPECT_EQ(this->knock(TestFixture::many - 1), rst | ack);
  EXPECT_EQ(this->knock(0), syn | ack);
}

}  // namespace
}  // namespace steelyard::worker

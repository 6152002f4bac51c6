#include "tests/unit/worker/stand.h"

#include <bit>
#include <cstdlib>
#include <stdexcept>

namespace steelyard::test {
namespace {

constexpr std::size_t flows = 256;
constexpr std::size_t links = 2;
constexpr std::size_t most_turns = 200;

nic::MbufPool make_pool(const std::string& name, std::uint32_t buffers, std::uint16_t room = nic::smallest_frame_room) {
  auto pool = nic::MbufPool::create({.name = name, .buffers = buffers, .frame_room = room, .cache = 0});
  if (!pool) {
    throw std::runtime_error(pool.error().message);
  }
  return std::move(*pool);
}

std::byte* zeroed(std::size_t bytes) {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  std::fill_n(memory, bytes, std::byte{0});
  return memory;
}

// The request in a frame that a worker has sent, if it is one for somebody else's address.
std::optional<neighbor::NeighborMessage> request_in(Frame frame) {
  const packet::PacketView view = frame.parse();
  std::optional<neighbor::NeighborMessage> message;
  if (view.kind == packet::PacketKind::arp) {
    message = neighbor::parse_arp(frame.l3());
  } else if (neighbor::is_neighbor_discovery(view)) {
    message = neighbor::parse_ndp(view, frame.l3().size());
  }
  const bool asks = message && message->kind == neighbor::NeighborMessage::Kind::request;
  return asks && message->sender != message->target ? message : std::nullopt;
}

std::string text_of(const IpKey& address) {
  return service::Address::from_v6(address.bytes()).to_string();
}

Frame answer_of_host(const neighbor::NeighborMessage& asked, std::uint16_t link) {
  const MacAddress mac = host_mac(link, asked.target.bytes()[15]);
  if (neighbor::is_v4(asked.target)) {
    return arp({.operation = 2,
                .sender_mac = mac,
                .sender = text_of(asked.target),
                .target_mac = own_mac(link),
                .target = text_of(asked.sender)});
  }
  return ndp(advertised(text_of(asked.target), mac, text_of(asked.sender)));
}

std::uint64_t sum_of_drops(const worker::PacketCounters& packets) {
  std::uint64_t sum = 0;
  for (const service::Counter& drop : packets.drops) {
    sum += drop.get();
  }
  return sum;
}

}  // namespace

Frame tagged(const Frame& frame, std::uint16_t vlan) {
  Frame with = frame;
  const Bytes tag{0x81, 0x00, static_cast<std::uint8_t>(vlan >> 8U), static_cast<std::uint8_t>(vlan)};
  with.bytes.insert(with.bytes.begin() + 12, tag.begin(), tag.end());
  return with;
}

Frame untagged(const Frame& frame) {
  Frame without = frame;
  without.bytes.erase(without.bytes.begin() + 12, without.bytes.begin() + 16);
  return without;
}

Stand::PerWorker::PerWorker(std::size_t place, const StandPlan& plan)
    : generate(make_pool("generate_" + std::to_string(place), plan.generated_buffers)),
      mailbox("mailbox_" + std::to_string(place), 8),
      memory_v4(zeroed(l4::FlowTable<packet::Ipv4>::memory_needed(flows))),
      memory_v6(zeroed(l4::FlowTable<packet::Ipv6>::memory_needed(flows))),
      listeners(plan.ids),
      schedulers(plan.ids),
      persistence(1'024, {{1, 2, 3, 4}}) {
  backends.commit(64);
  tunnels.commit(64);
  active.commit(64);
  meters.commit(64);
  bandwidth_shares.commit(64);
  others.commit(64);
  schedulers.commit(plan.ids);
  listeners.commit(plan.ids);
  sources.commit();
}

Stand::Stand(const StandPlan& plan) : plan_(plan), received_(make_pool("received", plan.received_buffers)) {
  plan_.queues = plan.queues == 0 ? static_cast<std::uint16_t>(plan.workers) : plan.queues;
  for (std::size_t link = 0; link < links; ++link) {
    ports_.push_back(std::make_unique<FakePort>("net_null" + std::to_string(link), received_, plan_.queues));
  }
  for (std::size_t place = 0; place < plan.workers; ++place) {
    per_worker_.push_back(std::make_unique<PerWorker>(place, plan));
  }
  make_rings();
  auto snapshot = make_snapshot(plan.workers);
  snapshot->pass_unmatched = plan.pass_unmatched;
  snapshots_.push_back(std::move(snapshot));
  published_.store(snapshots_.back().get(), std::memory_order_release);
  set_clock();
  for (std::size_t place = 0; place < plan.workers; ++place) {
    workers_.push_back(std::make_unique<worker::Worker>(make_setup(static_cast<std::uint16_t>(place))));
  }
  if (plan.announced) {
    settle();
    (void)sent(wan);
    (void)sent(lan);
  }
}

Stand::~Stand() {
  for (const auto& port : ports_) {
    port->set_room(SIZE_MAX);
  }
  settle();
  pass(6s);  // whoever waits for a neighbour is given up
  for (std::uint16_t link = 0; link < links; ++link) {
    (void)given_to_kernel(link);
  }
  for (std::size_t place = 0; place < workers_.size(); ++place) {
    EXPECT_EQ(packets(place).waiting.get(), 0u);
    EXPECT_EQ(generate(place).available(), generate(place).capacity()) << "of worker " << place;
  }
  workers_.clear();  // connections that end here hold received buffers until then
  EXPECT_EQ(received_.available(), received_.capacity());
}

void Stand::make_rings() {
  const auto ring = [](const std::string& name, unsigned size) {
    return Ring(rte_ring_create(name.c_str(), size, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
  };
  for (std::size_t from = 0; from < plan_.workers; ++from) {
    for (std::size_t to = 0; to < plan_.workers; ++to) {
      const std::string name = "hand_off_" + std::to_string(from) + '_' + std::to_string(to);
      hand_off_.push_back(from == to ? nullptr : std::make_unique<worker::PacketRing>(name, plan_.ring_size));
    }
  }
  for (std::size_t link = 0; link < links; ++link) {
    for (std::size_t from = 0; from < plan_.workers; ++from) {
      const std::string place = std::to_string(link) + '_' + std::to_string(from);
      relays_.push_back(has_queue(from) ? nullptr
                                        : std::make_unique<worker::PacketRing>("relay_" + place, plan_.ring_size));
      to_kernel_.push_back(plan_.kernel ? ring("to_kernel_" + place, plan_.kernel_ring_size) : nullptr);
    }
    from_kernel_.push_back(plan_.kernel ? ring("from_kernel_" + std::to_string(link), plan_.kernel_ring_size)
                                        : nullptr);
  }
}

worker::TcpHostSetup Stand::make_tcp(std::uint16_t place) {
  PerWorker& own = *per_worker_[place];
  own.clones.emplace(make_pool("clones_" + std::to_string(place), 255, nic::no_room));
  own.payload.emplace(make_pool("payload_" + std::to_string(place), 255));
  worker::TcpHostSetup setup;
  setup.limits = {.connections = 16, .half_open = 16, .time_wait = 16};
  setup.secrets = {.lookup = key_, .numbers = {{1, 2}}, .cookies = {{3, 4}}};
  setup.queue_nodes = 256;
  setup.addresses = {model_address(Scene<packet::Ipv4>::vip), model_address(Scene<packet::Ipv6>::vip)};
  setup.workers = static_cast<std::uint32_t>(plan_.workers);
  setup.received = &received_;
  setup.headers = &own.generate;
  setup.clones = &*own.clones;
  setup.payload = &*own.payload;
  if (plan_.http) {
    setup.addresses = {model_address(Scene<packet::Ipv4>::local), model_address(Scene<packet::Ipv6>::local)};
    setup.all_ports = false;
    setup.local_ports = {3'000, 3'999};
    setup.limits.listeners = plan_.ids;
    constexpr std::array<std::uint16_t, links> mtus{1'500, 1'500};
    own.http = std::make_unique<worker::HttpApplication>(
        http::ProxySetup{.connections = setup.limits.connections, .exchanges = 8, .cookie_key = {}}, mtus, own.log,
        own.requests);
    setup.application = own.http.get();
  } else {
    setup.application = plan_.applications.at(place);
  }
  return setup;
}

worker::WorkerSetup Stand::make_setup(std::uint16_t place) {
  worker::WorkerSetup setup;
  setup.id = {place};
  for (std::uint16_t number = 0; number < links; ++number) {
    worker::PortLink link;
    link.port = &ports_[number]->port();
    link.mac = own_mac(number);
    if (number == lan && plan_.lan_vlan != 0) {
      link.vlan = plan_.lan_vlan;
      link.carrier = wan;
      setup.links[wan].vlans.push_back({plan_.lan_vlan, lan});
    } else {
      link.has_queue = has_queue(place);
      link.relay = relays_[number * plan_.workers + place].get();
      for (std::size_t from = 0; place == 0 && from < plan_.workers; ++from) {
        if (worker::PacketRing* ring = relays_[number * plan_.workers + from].get(); ring != nullptr) {
          link.relays_in.push_back(ring);
        }
      }
    }
    if (plan_.kernel) {
      // A channel is the ends of two rings; only the exception thread, which needs a TAP device, makes them otherwise.
      const std::array<rte_ring*, 2> ends{to_kernel_[number * plan_.workers + place].get(),
                                          place == 0 ? from_kernel_[number].get() : nullptr};
      link.kernel = std::bit_cast<nic::KernelChannel>(ends);
    }
    setup.links.push_back(link);
  }
  for (std::size_t other = 0; other < plan_.workers; ++other) {
    setup.hand_off_out.push_back(hand_off_[place * plan_.workers + other].get());
    setup.hand_off_in.push_back(hand_off_[other * plan_.workers + place].get());
  }
  PerWorker& own = *per_worker_[place];
  setup.mailbox = &own.mailbox;
  setup.generate = &own.generate;
  for (const char* address : {"192.0.2.2", "2001:db8:1::2", "10.0.0.254", "2001:db8:2::254"}) {
    setup.own_addresses.push_back(model_address(address));
  }
  setup.local_addresses = {model_address(Scene<packet::Ipv4>::local), model_address(Scene<packet::Ipv6>::local)};
  setup.neighbor_ports = {{own_mac(wan), {{key("192.0.2.2"), 96 + 24}, {key("2001:db8:1::2"), 64}}},
                          {own_mac(lan), {{key("10.0.0.254"), 96 + 24}, {key("2001:db8:2::254"), 64}}}};
  setup.published = &published_;
  setup.links_came_up = &links_came_up_;
  setup.taps = &published_taps_;
  setup.clock = &clock_;
  setup.fragments.held = plan_.held_fragments;
  if (plan_.http || !plan_.applications.empty()) {
    setup.tcp = make_tcp(place);
  }
  l4::BalancerSetup& balancer = setup.balancer;
  balancer.worker = setup.id;
  balancer.workers = plan_.workers;
  balancer.key = key_;
  balancer.seed = 1U + place;
  balancer.memory_v4 = {own.memory_v4.get(), l4::FlowTable<packet::Ipv4>::memory_needed(flows)};
  balancer.memory_v6 = {own.memory_v6.get(), l4::FlowTable<packet::Ipv6>::memory_needed(flows)};
  balancer.flows_v4 = balancer.flows_v6 = flows;
  balancer.own_addresses = setup.own_addresses;
  balancer.local_addresses = setup.local_addresses;
  balancer.local_ports = {2'000, 2'999};
  if (plan_.http) {
    balancer.terminated_ports = {3'000, 3'999};
  }
  for (const auto& each : per_worker_) {
    balancer.persistence.push_back(&each->persistence);
  }
  balancer.backends = &own.backends;
  balancer.tunnels = &own.tunnels;
  balancer.path_mtus = &path_mtus_;
  balancer.tunnel_ports = {{1'500, {}}, {1'500, {}}};
  balancer.active = &own.active;
  balancer.meters = &own.meters;
  balancer.bandwidth_shares = &own.bandwidth_shares;
  for (const auto& each : per_worker_) {
    balancer.listeners.push_back(&each->listeners);
    balancer.sources.push_back(&each->sources);
  }
  balancer.schedulers = &own.schedulers;
  balancer.others = &own.others;
  balancer.others_version = &others_version_;
  return setup;
}

// The workers' clock is the time stamp counter since a start, times a scale. This one goes so slowly (a nanosecond in
// 2^24 cycles) that it stands, and its start is moved to where it shows what it should.
void Stand::set_clock() {
  constexpr std::uint64_t scale = std::uint64_t{1} << 8U;
  constexpr unsigned cycles_shift = 24;
  const std::uint64_t cycles = static_cast<std::uint64_t>(now_.count()) << cycles_shift;
  const std::array<std::uint64_t, 2> parts{rte_rdtsc() - cycles - (1U << (cycles_shift - 1)), scale};
  clock_ = std::bit_cast<worker::Clock>(parts);
}

rte_mbuf* Stand::make_packet(const Frame& frame) {
  rte_mbuf* packet = received_.allocate().release();
  char* room = packet == nullptr ? nullptr : rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.bytes.size()));
  if (room == nullptr) {
    throw std::runtime_error("no buffer, or too small a one, for a frame of the test");
  }
  std::ranges::copy(frame.bytes, room);
  return packet;
}

void Stand::receive(std::uint16_t link, const Frame& frame, std::uint16_t worker) {
  Frame addressed = frame;
  set_macs(addressed, own_mac(link), link == wan ? gateway_mac : host_mac(lan, 1));
  receive_as_is(link, addressed, worker);
}

void Stand::receive_as_is(std::uint16_t link, const Frame& frame, std::uint16_t worker, std::size_t first_segment) {
  if (link == lan && plan_.lan_vlan != 0) {
    return receive_as_is(wan, tagged(frame, plan_.lan_vlan), worker, first_segment);
  }
  if (first_segment >= frame.bytes.size()) {
    port(link).arrive(worker, make_packet(frame));
    return;
  }
  const auto rest = frame.bytes.begin() + static_cast<std::ptrdiff_t>(first_segment);
  rte_mbuf* packet = make_packet({{frame.bytes.begin(), rest}});
  ASSERT_EQ(rte_pktmbuf_chain(packet, make_packet({{rest, frame.bytes.end()}})), 0);
  port(link).arrive(worker, packet);
}

void Stand::receive_from_kernel(std::uint16_t link, const Frame& frame) {
  ASSERT_EQ(rte_ring_sp_enqueue(from_kernel_.at(link).get(), make_packet(frame)), 0);
}

void Stand::hand_over(const Frame& frame, std::uint16_t from, std::uint16_t to, int count, std::uint8_t hops) {
  Frame addressed = frame;
  set_macs(addressed, own_mac(wan), gateway_mac);
  for (int number = 0; number < count; ++number) {
    rte_mbuf* packet = make_packet(addressed);
    worker::note_of(packet) = {worker::PacketNote::Purpose::yours, hops, from, wan, 0, 0};
    ASSERT_TRUE(hand_off_.at(from * plan_.workers + to)->push(packet));
  }
}

std::size_t Stand::turn(std::size_t place) {
  set_clock();
  const std::size_t handled = worker(place).turn();
  expect_balanced(place);
  sort_by_tag();
  return handled;
}

// What was sent with the lan's tag is what a switch would bring to the lan.
void Stand::sort_by_tag() {
  if (plan_.lan_vlan == 0) {
    return;
  }
  std::vector<Frame> others;
  for (Frame& frame : port(wan).sent()) {
    if (get16(frame.bytes, 12) == packet::ether_type_vlan && get16(frame.bytes, 14) == plan_.lan_vlan) {
      ++sent_tagged_;
      port(lan).sent().push_back(untagged(frame));
    } else {
      others.push_back(std::move(frame));
    }
  }
  port(wan).sent() = std::move(others);
}

std::size_t Stand::turn() {
  std::size_t handled = 0;
  for (std::size_t place = 0; place < workers_.size(); ++place) {
    handled += turn(place);
  }
  return handled;
}

void Stand::settle() {
  // What a worker makes in a turn without work, such as a request, may be for another one to send.
  for (std::size_t turns = 0; turn() + turn() != 0; ++turns) {
    ASSERT_LT(turns, most_turns) << "the workers never come to rest";
  }
}

void Stand::resolve() {
  do {
    settle();
  } while (answer_requests());
}

void Stand::pass(std::chrono::nanoseconds duration) {
  for (const auto end = now_ + duration; now_ < end;) {
    now_ = std::min(end, now_ + 50ms);
    settle();
  }
}

bool Stand::answer_requests() {
  bool asked_for = false;
  for (std::uint16_t link = 0; link < links; ++link) {
    std::vector<Frame> others;
    for (Frame& frame : port(link).sent()) {
      if (const auto asked = request_in(frame)) {
        asked_for = true;
        ++answers_;
        receive(link, answer_of_host(*asked, link));
      } else {
        others.push_back(std::move(frame));
      }
    }
    port(link).sent() = std::move(others);
  }
  return asked_for;
}

std::vector<Frame> Stand::sent(std::uint16_t link) {
  return std::exchange(port(link).sent(), {});
}

std::vector<Frame> Stand::given_to_kernel(std::uint16_t link) {
  std::vector<Frame> frames;
  for (std::size_t place = 0; plan_.kernel && place < plan_.workers; ++place) {
    void* item = nullptr;
    while (rte_ring_sc_dequeue(to_kernel_.at(link * plan_.workers + place).get(), &item) == 0) {
      const nic::Packet packet(static_cast<rte_mbuf*>(item));
      const auto* bytes = rte_pktmbuf_mtod(packet.get(), const std::uint8_t*);
      frames.push_back({{bytes, bytes + packet->data_len}});
    }
  }
  return frames;
}

std::uint64_t Stand::drops(DropReason reason) const {
  std::uint64_t sum = 0;
  for (const auto& worker : workers_) {
    sum += worker->packets().drops[static_cast<std::size_t>(reason)].get();
  }
  return sum;
}

std::uint64_t Stand::all_drops() const {
  std::uint64_t sum = 0;
  for (const auto& worker : workers_) {
    sum += sum_of_drops(worker->packets());
  }
  return sum;
}

void Stand::publish_vips(const std::vector<std::string>& vips) {
  std::vector<service::Address> addresses;
  std::ranges::transform(vips, std::back_inserter(addresses), model_address);
  auto next = std::make_shared<service::Snapshot>(*snapshots_.back());
  next->vips = std::make_shared<service::AddressSet>(addresses);
  publish(next);
}

void Stand::publish(std::shared_ptr<const service::Snapshot> snapshot) {
  snapshots_.push_back(std::move(snapshot));
  published_.store(snapshots_.back().get(), std::memory_order_release);
}

void Stand::watch(std::vector<std::shared_ptr<worker::Tap>> taps) {
  taps_.push_back(std::make_unique<worker::Taps>(worker::Taps{std::move(taps)}));
  published_taps_.store(taps_.back()->taps.empty() ? nullptr : taps_.back().get(), std::memory_order_release);
}

void Stand::take_servers_down() {
  for (const auto& listener : snapshots_.back()->listeners) {
    for (std::size_t server = 0; listener != nullptr && server < listener->servers.size(); ++server) {
      listener->state->states[server].up.store(false, std::memory_order_release);
      listener->state->epoch.fetch_add(1, std::memory_order_release);
    }
  }
}

void Stand::expect_balanced(std::size_t place) {
  const worker::PacketCounters& count = packets(place);
  const std::uint64_t in = count.received.get() + count.from_kernel.get() + count.handed_in.get() +
                           count.relayed_in.get() + count.generated.get();
  const std::uint64_t out = count.transmitted.get() + count.to_kernel.get() + count.handed_out.get() +
                            count.relayed_out.get() + count.consumed.get() + sum_of_drops(count) + count.waiting.get();
  EXPECT_EQ(in, out) << "worker " << place << ": what came in, and what became of it";
  std::uint64_t transmitted = 0;
  for (const auto& worker : workers_) {
    transmitted += worker->packets().transmitted.get();
  }
  EXPECT_EQ(transmitted, ports_[wan]->sent_in_all() + ports_[lan]->sent_in_all());
}

}  // namespace steelyard::test

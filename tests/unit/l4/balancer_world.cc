#include "tests/unit/l4/balancer_world.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "dataplane/l4/forward_known.h"
#include "dataplane/packet/icmp_error.h"

namespace steelyard::l4 {

std::string text(const Verdict& verdict) {
  switch (verdict.kind) {
    case Verdict::Kind::forward:
      return "forward";
    case Verdict::Kind::drop:
      return "drop " + std::string(packet::name(verdict.reason));
    case Verdict::Kind::hand_off:
      return "to worker " + std::to_string(verdict.worker.value);
    case Verdict::Kind::ask_home:
      return "ask worker " + std::to_string(verdict.worker.value);
    case Verdict::Kind::return_to:
      return "server " + std::to_string(verdict.backend.value) + " for worker " + std::to_string(verdict.worker.value);
    case Verdict::Kind::opening:
      return "opening";
    case Verdict::Kind::split:
      return "split for " + std::to_string(verdict.mtu);
    case Verdict::Kind::too_big:
      return "too big for " + std::to_string(verdict.mtu);
    case Verdict::Kind::consumed:
      return "consumed";
    case Verdict::Kind::terminated:
      return "terminated, of listener " + std::to_string(verdict.listener.value);
    case Verdict::Kind::unclaimed:
      break;
  }
  return "unclaimed";
}

template <class Family>
World<Family>::World(const Options& options) : options_(options), persistence_() {
  make_snapshot();
  for (std::uint16_t worker = 0; worker < options.workers; ++worker) {
    persistence_.push_back(std::make_unique<PersistenceTable>(64, test_key));
    listener_counters_.push_back(std::make_unique<service::StableArray<ListenerCounters>>(ids));
    listener_counters_.back()->commit(ids);
    sources_.push_back(std::make_unique<SourceTable>(1'024));
    sources_.back()->commit();
  }
  for (std::uint16_t worker = 0; worker < options.workers; ++worker) {
    workers_.push_back(std::make_unique<Worker>(*this, worker));
  }
}

template <class Family>
service::Address World<Family>::tunnel_server(std::size_t n) const {
  using Other = std::conditional_t<Family::is_v6, packet::Ipv4, packet::Ipv6>;
  const std::string last = std::to_string(n + 1);
  return options_.other_servers
             ? l4::to_service(test::address<Other>((Other::is_v6 ? "2001:db8:b::" : "10.9.0.") + last))
             : l4::to_service(server(n));
}

template <class Family>
void World<Family>::sum_connections() {
  for (std::size_t id = 0; id < ids; ++id) {
    for (const auto& worker : workers_) {
      std::uint32_t sum = 0;
      for (const auto& other : workers_) {
        sum += other == worker ? 0 : other->active[id].get();
      }
      worker->others[id].set(sum);
    }
  }
}

template <class Family>
service::Listener& World<Family>::listener(const Service& of) {
  for (const auto& candidate : listeners_) {
    const bool other = candidate->key.address == l4::to_service(other_vip());
    if (candidate->key.protocol == of.protocol && candidate->mode == of.mode && other == of.other_vip) {
      return *candidate;
    }
  }
  throw std::invalid_argument("no such listener");
}

template <class Family>
void World<Family>::go_by_hash(const Service& of, service::Scheduler scheduler, bool alone) {
  service::Listener& one = listener(of);
  one.scheduler = scheduler;
  one.hash_table = std::make_shared<service::HashTable>(schedule::build_hash_table(one.servers));
  ++one.servers_generation;
  for (auto& words : one.scratch) {
    words = std::make_unique<std::uint32_t[]>(schedule::scratch_words(scheduler, options_.servers));
  }
  std::vector<service::VipKey> endpoints;
  std::vector<service::ListenerIndex::Entry> entries;
  for (const service::Server& server : one.servers) {
    endpoints.push_back({server.address, server.port, of.protocol});
    entries.push_back({endpoints.back(), one.id});
  }
  snapshot_.hashed_servers = std::make_shared<service::EndpointSet>(endpoints);
  snapshot_.hashed_listeners =
      alone ? std::make_shared<service::ListenerIndex>(entries) : std::make_shared<service::ListenerIndex>();
}

template <class Family>
Verdict World<Family>::handle(packet::PacketView& view, std::size_t worker) {
  if (packet::is_icmp_error(view)) {
    return view.is_v6 ? balancer(worker).template translate_error<packet::Ipv6>(view)
                      : balancer(worker).template translate_error<packet::Ipv4>(view);
  }
  if (view.kind != packet::PacketKind::l4) {
    ADD_FAILURE() << "not a layer 4 packet: " << packet::name(view.drop);
    return {};
  }
  Balancer& handler = balancer(worker);
  const std::uint64_t hash = handler.hash_of<Family>(view);
  auto candidate = handler.candidate<Family>(handler.index_line<Family>(hash), hash);
  if (candidate.ask_second) {
    candidate.value = handler.candidate_in_second<Family>(hash);
  }
  const Forwarded known = handler.forward_known<Family>(view, candidate.value);
  if (known.hop.value == 0) {
    return handler.handle<Family>(view, hash);
  }
  ++fast_;
  Verdict verdict = Verdict::forwarded(known.hop);
  verdict.grown = known.grown;
  return verdict;
}

template <class Family>
Verdict World<Family>::receive(Frame& frame, std::size_t worker) {
  return through_room(frame, worker, [&](packet::PacketView& view) { return handle(view, worker); });
}

template <class Family>
Verdict World<Family>::decide_for(Frame& frame, std::uint16_t asker, std::size_t worker) {
  packet::PacketView view = frame.parse();
  return balancer(worker).template decide_for<Family>(view, {asker});
}

template <class Family>
Verdict World<Family>::open_decided(Frame& frame, service::BackendId backend, std::size_t worker) {
  return through_room(frame, worker, [&](packet::PacketView& view) {
    return balancer(worker).template open_decided<Family>(view, backend);
  });
}

template <class Family>
Verdict World<Family>::deliver(Frame& frame, std::size_t worker) {
  for (int hops = 0; hops < 4; ++hops) {
    Verdict verdict = receive(frame, worker);
    if (verdict.kind == Verdict::Kind::ask_home) {
      verdict = decide_for(frame, static_cast<std::uint16_t>(worker), verdict.worker.value);
      return verdict.kind == Verdict::Kind::return_to ? open_decided(frame, verdict.backend, worker) : verdict;
    }
    if (verdict.kind != Verdict::Kind::hand_off) {
      return verdict;
    }
    worker = verdict.worker.value;
  }
  ADD_FAILURE() << "handed round in circles";
  return {};
}

template <class Family>
void World<Family>::pass(std::chrono::milliseconds time) {
  for (constexpr auto step = 250ms; time > 0ms; time -= step) {
    now_ += std::min<std::chrono::milliseconds>(step, time);
    for (const auto& worker : workers_) {
      worker->balancer->set_time(now_ns());
      worker->balancer->expire(4 * options_.flows);
    }
  }
}

template <class Family>
std::vector<FlowRecord> World<Family>::flows(const FlowFilter& filter) {
  std::vector<FlowRecord> found;
  const auto rest =
      balancer().walk(filter, 0, 4 * options_.flows, [&](const FlowRecord& flow) { found.push_back(flow); });
  EXPECT_FALSE(rest);
  return found;
}

template <class Family>
World<Family>::Worker::Worker(World& owner, std::uint16_t worker)
    : world(owner),
      backends(ids),
      tunnels(ids),
      active(ids),
      others(ids),
      permits(ids),
      meters(ids),
      bandwidth_shares(ids),
      schedulers(ids),
      neighbors({neighbor::PortAddresses{}}, {1'024, 1'024, 4, 16}, test_key, *this),
      memory(FlowTable<Family>::memory_needed(owner.options_.flows)) {
  backends.commit(ids);
  tunnels.commit(ids);
  active.commit(ids);
  others.commit(ids);
  permits.commit(ids);
  meters.commit(ids);
  bandwidth_shares.commit(ids);
  schedulers.commit(ids);
  BalancerSetup setup;
  setup.worker = {worker};
  setup.workers = owner.options_.workers;
  setup.key = test_key;
  setup.sequence_key = {{7, 8, 9, 10}};
  (Family::is_v6 ? setup.memory_v6 : setup.memory_v4) = memory.all();
  (Family::is_v6 ? setup.memory_v4 : setup.memory_v6) = unused.all();
  setup.flows_v4 = Family::is_v6 ? 0 : owner.options_.flows;
  setup.flows_v6 = Family::is_v6 ? owner.options_.flows : 0;
  setup.own_addresses = {l4::to_service(own()), other_own()};
  for (std::size_t n = 0; n < owner.options_.locals; ++n) {
    setup.local_addresses.push_back(l4::to_service(local(n)));
  }
  setup.tunnels = &tunnels;
  setup.path_mtus = &owner.path_mtus_;
  setup.tunnel_ports = {{1'500, setup.own_addresses}};
  setup.local_ports = owner.options_.local_ports;
  for (const auto& table : owner.persistence_) {
    setup.persistence.push_back(table.get());
  }
  setup.backends = &backends;
  setup.active = &active;
  for (const auto& counters : owner.listener_counters_) {
    setup.listeners.push_back(counters.get());
  }
  for (const auto& table : owner.sources_) {
    setup.sources.push_back(table.get());
  }
  setup.schedulers = &schedulers;
  setup.others = &others;
  setup.permits = &permits;
  setup.meters = &meters;
  setup.bandwidth_shares = &bandwidth_shares;
  setup.others_version = &others_version;
  setup.neighbors = &neighbors;
  setup.output = this;
  balancer = std::make_unique<Balancer>(setup);
  balancer->set_snapshot(&owner.snapshot_);
  balancer->set_time(owner.now_ns());
  balancer->expire(1);
}

template <class Family>
bool World<Family>::Worker::send_built(std::span<const std::uint8_t> packet, bool is_v6, neighbor::HopIndex hop) {
  world.sent_.push_back(test::framed(packet));
  Frame& frame = world.sent_.back();
  EXPECT_EQ(is_v6, frame.is_v6());
  const bool tunneled = world.unwrap(frame, hop, *this);
  EXPECT_TRUE(frame.checksums_right());
  if (!tunneled) {
    world.check_hop(frame, hop, *this);
  }
  return true;
}

template <class Family>
void World<Family>::add_listener(const Service& of, std::uint32_t first_backend) {
  auto made = std::make_shared<service::Listener>();
  made->id = {static_cast<std::uint16_t>(snapshot_.listeners.size())};
  const Tuple tuple = to_service(of);
  made->key = {l4::to_service(tuple.destination), __builtin_bswap16(tuple.destination_port), of.protocol};
  made->mode = of.mode;
  for (std::uint32_t server_number = 0; server_number < options_.servers; ++server_number) {
    made->servers.push_back(
        {of.mode == Mode::tunnel ? tunnel_server(server_number) : l4::to_service(server(server_number)),
         service::is_one_sided(of.mode) ? made->key.port : std::uint16_t{8080},
         100,
         {first_backend + server_number}});
  }
  made->state = std::make_shared<service::ListenerState>(options_.servers);
  for (std::uint16_t worker = 0; worker < options_.workers; ++worker) {
    made->scratch.emplace_back(
        std::make_unique<std::uint32_t[]>(schedule::scratch_words(made->scheduler, options_.servers)));
  }
  listeners_.push_back(made);
  snapshot_.listeners.push_back(made);
}

template <class Family>
void World<Family>::make_snapshot() {
  snapshot_.listeners.push_back(nullptr);
  std::uint32_t backend = 1;
  for (const Service& of :
       {Service{Protocol::tcp, Mode::nat}, Service{Protocol::tcp, Mode::fullnat}, Service{Protocol::udp, Mode::nat},
        Service{Protocol::udp, Mode::fullnat}, Service{Protocol::tcp, Mode::nat, true},
        Service{Protocol::tcp, Mode::dr}, Service{Protocol::udp, Mode::dr}, Service{Protocol::tcp, Mode::tunnel},
        Service{Protocol::udp, Mode::tunnel}}) {
    add_listener(of, backend);
    backend += static_cast<std::uint32_t>(options_.servers);
  }
  std::vector<service::ListenerIndex::Entry> entries;
  std::vector<service::VipKey> endpoints;
  for (const auto& made : listeners_) {
    entries.push_back({made->key, made->id});
    for (const service::Server& one :
         service::is_one_sided(made->mode) ? std::vector<service::Server>{} : made->servers) {
      endpoints.push_back({one.address, one.port, made->key.protocol});
    }
  }
  snapshot_.index = std::make_shared<service::ListenerIndex>(entries);
  snapshot_.nat_servers = std::make_shared<service::EndpointSet>(endpoints);
  const std::array vips{l4::to_service(vip()), l4::to_service(other_vip())};
  snapshot_.vips = std::make_shared<service::AddressSet>(vips);
  snapshot_.routes.push_back({service::Prefix{l4::to_service(vip()), 0}, {}, true, {}});
  snapshot_.routes.push_back({service::Prefix{other_own(), 0}, {}, true, {}});
}

template <class Family>
void World<Family>::check_hop(const Frame& frame, neighbor::HopIndex hop, Worker& worker) {
  const auto destination = packet::load<Address>(frame.bytes.data() + 14 + Family::destination_offset);
  if (!(destination == vip())) {
    EXPECT_EQ(hop, hop_to(destination, worker));
    return;
  }
  direct_server_ = 0;
  while (direct_server_ < options_.servers && !(hop == hop_to(server(direct_server_), worker))) {
    ++direct_server_;
  }
  EXPECT_LT(direct_server_, options_.servers) << "not on its way to a server";
}

template <class Family>
bool World<Family>::unwrap(Frame& frame, neighbor::HopIndex hop, Worker& worker) {
  if (frame.protocol() != packet::protocol_ipv4 && frame.protocol() != packet::protocol_ipv6) {
    return false;
  }
  const std::size_t size = frame.is_v6() ? packet::Ipv6::header_size : packet::Ipv4::header_size;
  outer_.assign(frame.bytes.begin() + 14, frame.bytes.begin() + static_cast<std::ptrdiff_t>(14 + size));
  const service::Address destination = frame.is_v6() ? l4::to_service(packet::load<packet::Ipv6Address>(&outer_[24]))
                                                     : l4::to_service(packet::load<packet::Ipv4Address>(&outer_[16]));
  ++tunneled_;
  EXPECT_EQ(hop, hop_to(destination, worker));
  EXPECT_TRUE(frame.is_v6() || test::slow_checksum(outer_) == 0);
  frame.bytes.erase(frame.bytes.begin() + 14, frame.bytes.begin() + static_cast<std::ptrdiff_t>(14 + size));
  test::put16(frame.bytes, 12, frame.bytes[14] >> 4U == 6 ? 0x86ddU : 0x0800U);
  direct_server_ = 0;
  while (direct_server_ < options_.servers && destination != tunnel_server(direct_server_)) {
    ++direct_server_;
  }
  return true;
}

template <class Family>
neighbor::HopIndex World<Family>::hop_to(const service::Address& whole, Worker& worker) {
  const auto key = packet::load<neighbor::IpKey>(whole.v6().data());
  const auto hop = worker.neighbors.find(key, 0, now_ns());
  if (options_.resolved_servers) {
    neighbor::NeighborMessage answer;
    answer.sender = key;
    answer.sender_mac = {2, 0, 0, 0, 0, 9};
    answer.has_sender_mac = true;
    worker.neighbors.learn(answer, 0, now_ns());
  }
  return hop.value_or(neighbor::HopIndex{});
}

template <class Family>
void World<Family>::check_forwarded(Frame& frame, const Verdict& verdict, std::uint8_t ttl, std::size_t worker) {
  if (verdict.kind != Verdict::Kind::forward && verdict.kind != Verdict::Kind::split) {
    return;
  }
  const bool tunneled = verdict.grown != 0 && unwrap(frame, verdict.hop, *workers_[worker]);
  EXPECT_TRUE(frame.checksums_right());
  EXPECT_EQ(frame.ttl(), ttl - 1);
  if (!tunneled) {
    check_hop(frame, verdict.hop, *workers_[worker]);
  }
}

template class World<packet::Ipv4>;
template class World<packet::Ipv6>;

}  // namespace steelyard::l4

// A balancer - or one per worker - with listeners, servers, a clock and somebody who looks at every packet, for the
// tests of opening, forwarding and ending. Everything is of one address family:
//
//   clients client(1).. -> vip()  TCP and UDP, port 80 `nat`, 81 `fullnat`, 82 `dr`, 83 `tunnel`; other_vip(), TCP port
//   80
//                       -> server(0).. port 8080 (`dr`: 82, `tunnel`: 83), reached from local() by full NAT
//
// Every packet that is forwarded has been checked: checksums, hop limit, next hop.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/l4/balancer.h"
#include "dataplane/l4/forward_known.h"
#include "dataplane/packet/icmp_error.h"
#include "tests/unit/packet_builder.h"

namespace steelyard::l4 {

using test::Bytes;
using test::Frame;
using test::TcpFields;
using test::UdpFields;
using namespace packet::tcp_flag;  // NOLINT(google-build-using-namespace): syn | ack reads like the segment
using packet::Sequence;
using service::Mode;
using service::Protocol;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

// Text to compare verdicts by: "forward", "drop no_flow", "to worker 1", "ask worker 1", "server 7 for worker 1".
[[nodiscard]] inline std::string text(const Verdict& verdict) {
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

// Zeroed memory of cache lines.
class Memory {
 public:
  explicit Memory(std::size_t size)
      : size_((size + 63) / 64 * 64), memory_(static_cast<std::byte*>(std::aligned_alloc(64, size_))) {
    std::fill_n(memory_.get(), size_, std::byte{0});
  }
  [[nodiscard]] std::span<std::byte> all() const { return {memory_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::size_t size_;
  std::unique_ptr<std::byte, Free> memory_;
};

inline constexpr packet::HashKey test_key{
    {0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f0}};

template <class Family>
class World {
 public:
  using Address = typename Family::Address;
  using Tuple = packet::Tuple<Family>;

  struct Options {
    std::size_t flows = 64;
    std::size_t servers = 2;
    std::uint16_t workers = 1;
    PortRange local_ports{2000, 2063};
    bool resolved_servers = true;  // and clients: next hops are known, so that packets can take the fast path
    bool other_servers = false;    // those behind tunnels are of the other address family
    std::size_t locals = 1;
  };

  struct Service {
    Protocol protocol = Protocol::tcp;
    Mode mode = Mode::nat;
    bool other_vip = false;
  };

  explicit World(const Options& options) : options_(options), persistence_() {
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
  World() : World(Options{}) {}

  // Addresses.
  [[nodiscard]] static std::string text_of(const char* v4, const char* v6, std::size_t last) {
    return (Family::is_v6 ? v6 : v4) + std::to_string(last);
  }
  [[nodiscard]] static Address client(std::size_t n) {
    return test::address<Family>(text_of("198.51.100.", "2001:db8:c::", n));
  }
  [[nodiscard]] static Address server(std::size_t n) {
    return test::address<Family>(text_of("10.0.0.", "2001:db8:a::", n + 1));
  }
  [[nodiscard]] static Address vip() { return test::address<Family>(text_of("192.0.2.", "2001:db8:1::", 10)); }
  [[nodiscard]] static Address other_vip() { return test::address<Family>(text_of("192.0.2.", "2001:db8:1::", 11)); }
  [[nodiscard]] static Address local(std::size_t n = 0) {
    return test::address<Family>(text_of("10.0.0.", "2001:db8:a::", 200 + n));
  }
  // The far end of a tunnel.
  [[nodiscard]] service::Address tunnel_server(std::size_t n) const {
    using Other = std::conditional_t<Family::is_v6, packet::Ipv4, packet::Ipv6>;
    const std::string last = std::to_string(n + 1);
    return options_.other_servers
               ? l4::to_service(test::address<Other>((Other::is_v6 ? "2001:db8:b::" : "10.9.0.") + last))
               : l4::to_service(server(n));
  }
  // Ours, of the other address family.
  [[nodiscard]] static service::Address other_own() {
    using Other = std::conditional_t<Family::is_v6, packet::Ipv4, packet::Ipv6>;
    return l4::to_service(test::address<Other>(Other::is_v6 ? "2001:db8:b::fe" : "10.9.0.254"));
  }
  [[nodiscard]] static Address own() { return test::address<Family>(text_of("10.0.0.", "2001:db8:a::", 254)); }

  // What a client's packets carry.
  [[nodiscard]] static Tuple to_service(const Service& to, std::size_t from_client = 1, std::uint16_t port = 40'000) {
    const auto vip_port = static_cast<std::uint16_t>(80 + static_cast<unsigned>(to.mode));
    return {client(from_client), to.other_vip ? other_vip() : vip(), __builtin_bswap16(port),
            __builtin_bswap16(vip_port), static_cast<std::uint8_t>(to.protocol)};
  }

  // Configuration.
  [[nodiscard]] service::Listener& listener(const Service& of) {
    for (const auto& candidate : listeners_) {
      const bool other = candidate->key.address == l4::to_service(other_vip());
      if (candidate->key.protocol == of.protocol && candidate->mode == of.mode && other == of.other_vip) {
        return *candidate;
      }
    }
    throw std::invalid_argument("no such listener");
  }
  void set_up(const Service& of, std::size_t server, bool up) {
    service::ListenerState& state = *listener(of).state;
    state.states[server].up.store(up);
    ++state.epoch;
  }
  void set_all(const Service& of, bool up) {
    for (std::size_t server = 0; server < options_.servers; ++server) {
      set_up(of, server, up);
    }
  }
  void set_weight(const Service& of, std::size_t server, std::uint8_t weight) {
    listener(of).servers[server].weight = weight;
    ++listener(of).servers_generation;
  }
  // A server takes so many connections from now on, of which a worker may have as many as it gets permits.
  void limit(const Service& of, std::size_t server, std::uint32_t most) {
    listener(of).servers[server].max_connections = most;
    listener(of).limited = true;
    ++listener(of).servers_generation;
  }
  void permit(const Service& of, std::size_t server, std::uint32_t permits, std::size_t worker = 0) {
    workers_[worker]->permits[listener(of).servers[server].id.value].set(permits);
  }
  [[nodiscard]] const BandwidthMeter& meter(const Service& of) { return workers_[0]->meters[listener(of).id.value]; }
  void share_bandwidth(const Service& of, std::uint64_t bytes_per_second) {
    workers_[0]->bandwidth_shares[listener(of).id.value].set(bytes_per_second);
  }
  // What control does every 10 ms.
  void sum_connections() {
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
  // The listener's clients are placed by hash from now on. `alone`: no other `nat` listener has its servers, so that
  // their packets tell the listener.
  void go_by_hash(const Service& of, service::Scheduler scheduler = service::Scheduler::sch, bool alone = true) {
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
  [[nodiscard]] service::Snapshot& snapshot() { return snapshot_; }

  // Packets. What a worker does with one, the fast path first.
  Verdict receive(Frame& frame, std::size_t worker = 0) {
    return through_room(frame, worker, [&](packet::PacketView& view) { return handle(view, worker); });
  }
  // The same without a look at what is forwarded.
  Verdict handle(packet::PacketView& view, std::size_t worker = 0) {
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
  // The outer packet, without what is inside, that the last packet into a tunnel had around it.
  [[nodiscard]] const Bytes& outer() const { return outer_; }
  // Packets that had one so far.
  [[nodiscard]] std::size_t tunneled() const { return tunneled_; }
  Verdict decide_for(Frame& frame, std::uint16_t asker, std::size_t worker) {
    packet::PacketView view = frame.parse();
    return balancer(worker).template decide_for<Family>(view, {asker});
  }
  Verdict open_decided(Frame& frame, service::BackendId backend, std::size_t worker) {
    return through_room(frame, worker, [&](packet::PacketView& view) {
      return balancer(worker).template open_decided<Family>(view, backend);
    });
  }
  // From worker to worker, as long as one says that it is another's; what the last one says.
  Verdict deliver(Frame& frame, std::size_t worker) {
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
  // The packet has room in front of it, as in a buffer, and ends where it says.
  template <class Act>
  Verdict through_room(Frame& frame, std::size_t worker, Act&& act) {
    const std::uint8_t ttl = frame.ttl();
    Bytes room = Bytes(most_grown);
    test::append(room, frame.bytes);
    packet::PacketView view = packet::parse(std::span(room).subspan(most_grown), frame.bytes.size(), {});
    const std::uint16_t before = view.l3_length;
    const Verdict verdict = act(view);
    const int cut = std::max(0, before - view.l3_length);
    frame.bytes.assign(room.begin() + static_cast<std::ptrdiff_t>(most_grown - verdict.grown), room.end() - cut);
    check_forwarded(frame, verdict, ttl, worker);
    return verdict;
  }

  // The server that the last packet to a VIP went to.
  [[nodiscard]] std::size_t direct_server() const { return direct_server_; }
  // Packets of the fast path so far.
  [[nodiscard]] std::size_t fast() const { return fast_; }

  // Packets that the balancers have built since the last call.
  [[nodiscard]] std::vector<Frame> sent() { return std::exchange(sent_, {}); }

  // Time goes on; the workers' turns come every quarter of a second.
  void pass(std::chrono::milliseconds time) {
    for (constexpr auto step = 250ms; time > 0ms; time -= step) {
      now_ += std::min<std::chrono::milliseconds>(step, time);
      for (const auto& worker : workers_) {
        worker->balancer->set_time(now_ns());
        worker->balancer->expire(4 * options_.flows);
      }
    }
  }
  [[nodiscard]] std::size_t workers() const { return workers_.size(); }
  [[nodiscard]] std::uint64_t now_ns() const { return static_cast<std::uint64_t>(now_.count()) * 1'000'000; }

  [[nodiscard]] Balancer& balancer(std::size_t worker = 0) { return *workers_[worker]->balancer; }
  [[nodiscard]] const BalancerCounters& counters(std::size_t worker = 0) { return balancer(worker).counters(); }
  [[nodiscard]] const BackendCounters& backend(service::BackendId id, std::size_t worker = 0) const {
    return workers_[worker]->backends[id.value];
  }
  // What a service has refused, on all workers.
  [[nodiscard]] std::uint64_t refused(const Service& of, service::Counter ListenerCounters::*reason) {
    std::uint64_t sum = 0;
    for (const auto& counters : listener_counters_) {
      sum += ((*counters)[listener(of).id.value].*reason).get();
    }
    return sum;
  }
  [[nodiscard]] std::uint32_t active(service::BackendId id) const { return workers_[0]->active[id.value].get(); }
  [[nodiscard]] std::uint32_t active() const {
    std::uint32_t sum = 0;
    for (std::size_t id = 0; id < ids; ++id) {
      sum += workers_[0]->active[id].get();
    }
    return sum;
  }
  [[nodiscard]] std::vector<FlowRecord> flows(const FlowFilter& filter = {}) {
    std::vector<FlowRecord> found;
    const auto rest =
        balancer().walk(filter, 0, 4 * options_.flows, [&](const FlowRecord& flow) { found.push_back(flow); });
    EXPECT_FALSE(rest);
    return found;
  }

 private:
  static constexpr std::size_t ids = 128;

  struct Worker : BalancerOutput, neighbor::NeighborOutput {
    Worker(World& owner, std::uint16_t worker)
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
    bool send_built(std::span<const std::uint8_t> packet, bool is_v6, neighbor::HopIndex hop) override {
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
    void send_frame(std::uint16_t, std::span<const std::uint8_t>) override {}
    void release(rte_mbuf*, neighbor::HopIndex) override {}
    void give_up(rte_mbuf*, packet::DropReason) override {}

    World& world;
    service::StableArray<BackendCounters> backends;
    service::StableArray<TunnelEnd> tunnels;
    service::StableArray<service::Gauge> active;
    service::StableArray<service::Gauge> others;
    service::StableArray<service::Gauge> permits;
    service::StableArray<BandwidthMeter> meters;
    service::StableArray<service::Counter> bandwidth_shares;
    service::StableArray<schedule::Scheduler> schedulers;
    std::atomic<std::uint64_t> others_version{0};
    neighbor::NeighborTable neighbors;
    Memory memory;
    Memory unused{FlowTable<packet::Ipv6>::memory_needed(0)};
    std::unique_ptr<Balancer> balancer;
  };

  void add_listener(const Service& of, std::uint32_t first_backend) {
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

  void make_snapshot() {
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

  // A packet goes to its destination; one to a VIP, as `dr` passes it on, to a server.
  void check_hop(const Frame& frame, neighbor::HopIndex hop, Worker& worker) {
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
  // Takes the outer packet off. False: there was none.
  bool unwrap(Frame& frame, neighbor::HopIndex hop, Worker& worker) {
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
  [[nodiscard]] neighbor::HopIndex hop_to(const Address& destination, Worker& worker) {
    return hop_to(l4::to_service(destination), worker);
  }
  [[nodiscard]] neighbor::HopIndex hop_to(const service::Address& whole, Worker& worker) {
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

  void check_forwarded(Frame& frame, const Verdict& verdict, std::uint8_t ttl, std::size_t worker) {
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

  Options options_;
  service::Snapshot snapshot_;
  std::vector<std::shared_ptr<service::Listener>> listeners_;
  std::vector<std::unique_ptr<PersistenceTable>> persistence_;
  std::vector<std::unique_ptr<service::StableArray<ListenerCounters>>> listener_counters_;
  std::vector<std::unique_ptr<SourceTable>> sources_;
  std::chrono::milliseconds now_{1'000'000};
  std::vector<Frame> sent_;
  PathMtuTable path_mtus_{test_key};
  Bytes outer_;
  std::size_t tunneled_ = 0;
  std::size_t fast_ = 0;
  std::size_t direct_server_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
};

using Families = testing::Types<packet::Ipv4, packet::Ipv6>;

}  // namespace steelyard::l4

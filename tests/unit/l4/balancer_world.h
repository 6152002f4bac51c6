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
[[nodiscard]] std::string text(const Verdict& verdict);

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

  explicit World(const Options& options);
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
  [[nodiscard]] service::Address tunnel_server(std::size_t n) const;
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
  [[nodiscard]] service::Listener& listener(const Service& of);
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
  void sum_connections();
  // The listener's clients are placed by hash from now on. `alone`: no other `nat` listener has its servers, so that
  // their packets tell the listener.
  void go_by_hash(const Service& of, service::Scheduler scheduler = service::Scheduler::sch, bool alone = true);
  [[nodiscard]] service::Snapshot& snapshot() { return snapshot_; }

  // Packets. What a worker does with one, the fast path first.
  Verdict receive(Frame& frame, std::size_t worker = 0);
  // The same without a look at what is forwarded.
  Verdict handle(packet::PacketView& view, std::size_t worker = 0);
  // The outer packet, without what is inside, that the last packet into a tunnel had around it.
  [[nodiscard]] const Bytes& outer() const { return outer_; }
  // Packets that had one so far.
  [[nodiscard]] std::size_t tunneled() const { return tunneled_; }
  Verdict decide_for(Frame& frame, std::uint16_t asker, std::size_t worker);
  Verdict open_decided(Frame& frame, service::BackendId backend, std::size_t worker);
  // From worker to worker, as long as one says that it is another's; what the last one says.
  Verdict deliver(Frame& frame, std::size_t worker);
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
  void pass(std::chrono::milliseconds time);
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
  [[nodiscard]] std::vector<FlowRecord> flows(const FlowFilter& filter = {});

 private:
  static constexpr std::size_t ids = 128;

  struct Worker : BalancerOutput, neighbor::NeighborOutput {
    Worker(World& owner, std::uint16_t worker);
    bool send_built(std::span<const std::uint8_t> packet, bool is_v6, neighbor::HopIndex hop) override;
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

  void add_listener(const Service& of, std::uint32_t first_backend);

  void make_snapshot();

  // A packet goes to its destination; one to a VIP, as `dr` passes it on, to a server.
  void check_hop(const Frame& frame, neighbor::HopIndex hop, Worker& worker);
  // Takes the outer packet off. False: there was none.
  bool unwrap(Frame& frame, neighbor::HopIndex hop, Worker& worker);
  [[nodiscard]] neighbor::HopIndex hop_to(const Address& destination, Worker& worker) {
    return hop_to(l4::to_service(destination), worker);
  }
  [[nodiscard]] neighbor::HopIndex hop_to(const service::Address& whole, Worker& worker);

  void check_forwarded(Frame& frame, const Verdict& verdict, std::uint8_t ttl, std::size_t worker);

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

extern template class World<packet::Ipv4>;
extern template class World<packet::Ipv6>;

using Families = testing::Types<packet::Ipv4, packet::Ipv6>;

}  // namespace steelyard::l4

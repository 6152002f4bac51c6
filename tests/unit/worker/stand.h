// Real workers between two fake ports, on a virtual clock, in the scene of scene.h. After every turn the books of every
// worker must balance, and when a stand is taken down, every buffer must be back in its pool. One thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "dataplane/worker/http_application.h"
#include "dataplane/worker/worker.h"
#include "tests/unit/worker/fake_port.h"
#include "tests/unit/worker/scene.h"

namespace steelyard::test {

using packet::DropReason;

struct StandPlan {
  std::size_t workers = 1;
  std::uint16_t queues = 0;  // queue pairs of a port; 0: one a worker
  bool kernel = false;       // with exception interfaces
  bool pass_unmatched = false;
  bool announced = true;  // VIPs have been announced, and the announcements forgotten
  std::uint32_t generated_buffers = 511;
  std::uint32_t received_buffers = 4'095;
  unsigned ring_size = 256;  // of hand-off and relay
  unsigned kernel_ring_size = 256;
  std::uint32_t held_fragments = 512;
  std::vector<worker::TcpApplication*> applications{};  // one a worker: TCP to the VIPs that is no listener's is theirs
  bool http = false;                                    // HTTP listeners may be configured
  std::size_t ids = 64;                                 // of listeners
  std::uint16_t lan_vlan = 0;                           // the lan is a VLAN of the wan port; 0: a port of its own
};

// With a tag (IEEE 802.1Q), and without the one that it has.
[[nodiscard]] Frame tagged(const Frame& frame, std::uint16_t vlan);
[[nodiscard]] Frame untagged(const Frame& frame);

class Stand {
 public:
  explicit Stand(const StandPlan& plan = {});
  ~Stand();
  Stand(const Stand&) = delete;
  Stand& operator=(const Stand&) = delete;

  // A frame comes in, addressed to the port unless it says else; it is handled in the worker's next turn.
  void receive(std::uint16_t link, const Frame& frame, std::uint16_t worker = 0);
  // The same for a frame whose destination MAC is right already. `first_segment`: bytes that lie in the first buffer,
  // the rest in a second one.
  void receive_as_is(std::uint16_t link, const Frame& frame, std::uint16_t worker = 0,
                     std::size_t first_segment = SIZE_MAX);
  void receive_from_kernel(std::uint16_t link, const Frame& frame);
  // A worker hands packets of the wan port to another one, as its own; they have been handed on `hops` times.
  void hand_over(const Frame& frame, std::uint16_t from, std::uint16_t to, int count = 1, std::uint8_t hops = 1);

  // A turn of one worker, of all, or turns until there is nothing to do.
  std::size_t turn(std::size_t worker);
  std::size_t turn();
  void settle();
  // Turns until nothing is to be done and every neighbour that was asked for has answered.
  void resolve();
  [[nodiscard]] std::uint64_t now_ns() const { return static_cast<std::uint64_t>(now_.count()); }
  // Time passes, with turns.
  void pass(std::chrono::nanoseconds duration);

  // What was sent or given to the kernel since this was last asked for.
  [[nodiscard]] std::vector<Frame> sent(std::uint16_t link);
  [[nodiscard]] std::vector<Frame> given_to_kernel(std::uint16_t link);

  [[nodiscard]] worker::Worker& worker(std::size_t place = 0) { return *workers_.at(place); }
  [[nodiscard]] const worker::PacketCounters& packets(std::size_t place = 0) { return worker(place).packets(); }
  // By which workers tell whose a packet is.
  [[nodiscard]] const packet::HashKey& hash_key() const { return key_; }
  // Frames by which hosts have answered in resolve().
  [[nodiscard]] std::uint64_t answers_received() const { return answers_; }
  // Frames that were sent with the lan's tag.
  [[nodiscard]] std::uint64_t sent_tagged() const { return sent_tagged_; }
  // A cable was plugged in.
  void link_comes_up() { links_came_up_.fetch_add(1); }
  // Of all workers.
  [[nodiscard]] std::uint64_t drops(DropReason reason) const;
  [[nodiscard]] std::uint64_t all_drops() const;
  [[nodiscard]] FakePort& port(std::uint16_t link) { return *ports_.at(link); }
  [[nodiscard]] nic::MbufPool& generate(std::size_t place = 0) { return per_worker_.at(place)->generate; }
  [[nodiscard]] nic::MbufPool& received() { return received_; }
  [[nodiscard]] worker::Mailbox& mailbox(std::size_t place = 0) { return per_worker_.at(place)->mailbox; }

  // The configuration changes; the one in force, to be changed.
  void publish(std::shared_ptr<const service::Snapshot> snapshot);
  [[nodiscard]] std::shared_ptr<service::Snapshot> copy_of_snapshot() const {
    return std::make_shared<service::Snapshot>(*snapshots_.back());
  }
  // Other VIPs are answered for.
  void publish_vips(const std::vector<std::string>& vips);
  // An administrator watches, from the next turn on: these taps and no others.
  void watch(std::vector<std::shared_ptr<worker::Tap>> taps);
  // The health checks find every server down.
  void take_servers_down();

  // With `http`.
  [[nodiscard]] worker::RequestTables& requests(std::size_t place = 0) { return per_worker_.at(place)->requests; }
  [[nodiscard]] worker::HttpApplication& http(std::size_t place = 0) { return *per_worker_.at(place)->http; }
  [[nodiscard]] const l4::ListenerCounters& listener(service::ListenerId id, std::size_t place = 0) const {
    return per_worker_.at(place)->listeners[id.value];
  }

  // A client's port such that the worker owns the connections from it; and whose client this is, for persistence.
  template <class Family>
  [[nodiscard]] std::uint16_t port_owned_by(std::uint16_t worker, const std::string& client) const {
    std::uint16_t port = 20'000;
    while (owner(address<Family>(client), __builtin_bswap16(port)) != worker) {
      ++port;
    }
    return port;
  }
  template <class Address>
  [[nodiscard]] std::uint16_t owner(const Address& client, std::uint16_t port) const {
    return static_cast<std::uint16_t>(
        packet::reduce(packet::hash(key_, client, port), static_cast<std::uint32_t>(workers_.size())));
  }

 private:
  struct FreeRing {
    void operator()(rte_ring* ring) const { rte_ring_free(ring); }
  };
  using Ring = std::unique_ptr<rte_ring, FreeRing>;
  struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<std::byte, FreeMemory>;
  struct PerWorker {
    PerWorker(std::size_t place, const StandPlan& plan);
    nic::MbufPool generate;
    worker::Mailbox mailbox;
    Memory memory_v4;
    Memory memory_v6;
    service::StableArray<l4::BackendCounters> backends{64};
    service::StableArray<l4::TunnelEnd> tunnels{64};
    service::StableArray<service::Gauge> active{64};
    service::StableArray<service::Gauge> others{64};
    service::StableArray<l4::BandwidthMeter> meters{64};
    service::StableArray<service::Counter> bandwidth_shares{64};
    service::StableArray<l4::ListenerCounters> listeners;
    service::StableArray<schedule::Scheduler> schedulers;
    l4::PersistenceTable persistence;
    l4::SourceTable sources{64};
    std::optional<nic::MbufPool> clones;  // with applications
    std::optional<nic::MbufPool> payload;
    worker::AccessRing log{64};
    worker::RequestTables requests;
    std::unique_ptr<worker::HttpApplication> http;
  };

  void make_rings();
  [[nodiscard]] worker::WorkerSetup make_setup(std::uint16_t place);
  [[nodiscard]] worker::TcpHostSetup make_tcp(std::uint16_t place);
  [[nodiscard]] rte_mbuf* make_packet(const Frame& frame);
  void set_clock();
  bool answer_requests();
  void sort_by_tag();
  void expect_balanced(std::size_t worker);
  [[nodiscard]] bool has_queue(std::size_t worker) const { return worker < plan_.queues; }

  StandPlan plan_;
  packet::HashKey key_{{0x243f6a8885a308d3U, 0x13198a2e03707344U, 0xa4093822299f31d0U, 0x082efa98ec4e6c89U}};
  nic::MbufPool received_;
  std::vector<std::unique_ptr<FakePort>> ports_;
  std::vector<std::unique_ptr<PerWorker>> per_worker_;
  std::vector<std::unique_ptr<worker::PacketRing>> hand_off_;  // [from * workers + to]
  std::vector<std::unique_ptr<worker::PacketRing>> relays_;    // [link * workers + from]
  std::vector<Ring> to_kernel_;                                // by worker and link
  std::vector<Ring> from_kernel_;                              // by link
  std::atomic<std::uint64_t> others_version_{0};
  l4::PathMtuTable path_mtus_{key_};
  std::vector<std::shared_ptr<const service::Snapshot>> snapshots_;
  std::atomic<const service::Snapshot*> published_{nullptr};
  std::vector<std::unique_ptr<worker::Taps>> taps_;  // all that were published; the last one is
  std::atomic<const worker::Taps*> published_taps_{nullptr};
  std::chrono::nanoseconds now_ = 10s;
  worker::Clock clock_;
  std::uint64_t answers_ = 0;
  std::uint64_t sent_tagged_ = 0;
  std::atomic<std::uint64_t> links_came_up_{0};
  std::vector<std::unique_ptr<worker::Worker>> workers_;
};

}  // namespace steelyard::test

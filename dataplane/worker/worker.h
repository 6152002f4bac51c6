// One worker: the poll-mode loop that puts the rooms together. Everything it owns is touched by its thread alone,
// except the counters (read by control), the rings (one producer, one consumer) and the published snapshot (RCU).
//
// On the packet path it never allocates, locks, makes a system call or logs. A turn handles at most one burst of each
// source, so that it stays far below a millisecond (TurnCounters proves it).
//
//   loop.cc    the turn: sources in order, timers, mailbox, idling
//   burst.cc   a burst of packets: parse, look up, act on the verdicts
//   answers.cc what is not layer 4: ARP, ND, ICMP echo, the kernel
//   fragments.cc pieces of datagrams, to the owners of their flows
//   terminating.cc TCP that ends here
//   splitting.cc packets that are larger than the next link
//   watch.cc   packets while an administrator traces or captures
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#include "dataplane/l4/balancer.h"
#include "dataplane/l4/fragment_table.h"
#include "dataplane/neighbor/neighbor_table.h"
#include "dataplane/nic/exception_thread.h"
#include "dataplane/nic/port.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/worker/clock.h"
#include "dataplane/worker/coalescing.h"
#include "dataplane/worker/command.h"
#include "dataplane/worker/counters.h"
#include "dataplane/worker/packet_note.h"
#include "dataplane/worker/ring.h"
#include "dataplane/worker/stages.h"
#include "dataplane/worker/tap.h"
#include "dataplane/worker/tcp_host.h"

namespace steelyard::worker {

using PacketRing = SpscRing<rte_mbuf>;
using Mailbox = SpscRing<Command>;

inline constexpr std::size_t burst_size = 32;

// A port as one worker sees it.
struct PortLink {
  struct Vlan {
    std::uint16_t id = 0;    // 1..4094
    std::uint16_t link = 0;  // place of its own
  };

  const nic::Port* port = nullptr;
  std::uint16_t mtu = 1500;
  neighbor::MacAddress mac{};
  std::uint16_t vlan = 0;              // a VLAN of another link, which receives and sends for it; 0: none
  std::uint16_t carrier = 0;           // that link
  std::vector<Vlan> vlans;             // carried by this one
  bool has_queue = false;              // queue pair number = worker number; never of a VLAN
  PacketRing* relay = nullptr;         // without a queue: to the worker that sends for us
  std::vector<PacketRing*> relays_in;  // with a queue: from the workers that we send for
  nic::KernelChannel kernel;
};

struct WorkerSetup {
  service::WorkerId id;
  bool adaptive = true;
  std::uint64_t coalesce_ns = 0;          // most that a turn waits for packets to gather; 0: never
  std::vector<PortLink> links;            // by place in the configuration
  std::vector<PacketRing*> hand_off_out;  // by worker; null for ourselves
  std::vector<PacketRing*> hand_off_in;   // by worker; null for ourselves
  Mailbox* mailbox = nullptr;
  nic::MbufPool* generate = nullptr;              // buffers for packets the worker makes
  std::vector<service::Address> own_addresses;    // the ports' own: what they are asked goes to the kernel
  std::vector<service::Address> local_addresses;  // the full NAT pool: answered by ARP and ND like VIPs
  std::vector<neighbor::PortAddresses> neighbor_ports;
  const std::atomic<const service::Snapshot*>* published = nullptr;
  const std::atomic<std::uint64_t>* links_came_up = nullptr;  // how often a link did; null: nobody counts
  const std::atomic<const Taps*>* taps = nullptr;             // null: nobody ever watches
  rte_rcu_qsbr* rcu = nullptr;
  const Clock* clock = nullptr;
  l4::FragmentLimits fragments;     // for each address family
  std::optional<TcpHostSetup> tcp;  // none: no TCP ends here
  l4::BalancerSetup balancer;       // `neighbors` and `output` are filled in by the worker
};

class Worker final : public l4::BalancerOutput,
                     public l4::FragmentOutput,
                     public neighbor::NeighborOutput,
                     public TcpHostOutput {
 public:
  // Control thread; a snapshot has been published before. Throws std::bad_alloc.
  explicit Worker(WorkerSetup setup);
  ~Worker() override;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The loop, on the worker's lcore, until `stop`.
  void run(const std::atomic<bool>& stop);
  // One turn; returns how many packets it handled. For run(), tests and benchmarks.
  std::size_t turn();
  // Handles a burst as if `link` had received it; takes ownership of the packets. For turn() and benchmarks.
  void receive(std::span<rte_mbuf*> packets, std::uint16_t link);

  // Any thread.
  [[nodiscard]] const PacketCounters& packets() const { return packets_; }
  [[nodiscard]] const TurnCounters& turns() const { return turns_; }
  [[nodiscard]] const StageMeter& stages() const { return stages_; }
  [[nodiscard]] const l4::BalancerCounters& balancer_counters() const { return balancer_.counters(); }
  // Grows with every turn: a worker that stands still is stalled.
  [[nodiscard]] std::uint64_t heartbeat() const { return heartbeat_.get(); }
  [[nodiscard]] service::WorkerId id() const { return id_; }

  // Null: no TCP ends here.
  [[nodiscard]] const TcpHostCounters* tcp_counters() const { return tcp_ != nullptr ? &tcp_->counters() : nullptr; }

  // BalancerOutput, NeighborOutput, FragmentOutput and TcpHostOutput; on the worker.
  bool send_built(std::span<const std::uint8_t> ip_packet, bool is_v6, neighbor::HopIndex hop) override;
  void send_frame(std::uint16_t port, std::span<const std::uint8_t> frame) override;
  void release(rte_mbuf* packet, neighbor::HopIndex hop) override;
  void give_up(rte_mbuf* packet, packet::DropReason reason) override;
  void give_up_fragment(void* packet, packet::DropReason reason) override;
  [[nodiscard]] std::optional<neighbor::HopIndex> hop_to(const service::Address& destination) override;
  [[nodiscard]] Link link_of(neighbor::HopIndex hop) const override;
  void send_segment(rte_mbuf* packet, neighbor::HopIndex hop) override;

 private:
  struct TransmitBuffer {
    std::array<rte_mbuf*, 2 * burst_size> packets;
    std::size_t count = 0;
  };

  // loop.cc
  // How many came; `behind` becomes true when more may be waiting.
  std::size_t receive_handed(std::span<rte_mbuf*> packets, bool& behind);
  std::size_t receive_from_kernel(std::uint16_t link);
  std::size_t receive_relayed(std::uint16_t link);
  void keep_time();
  void adopt_snapshot();
  void announce();
  [[nodiscard]] bool serve_mailbox();
  void sleep(std::uint64_t ns);
  void pause_until(std::uint64_t time_ns);  // at once if that has passed

  // A packet between the stages of its burst.
  struct alignas(64) Pending {
    packet::PacketView view;
    std::uint64_t hash = 0;
    const void* line = nullptr;  // what the next stage reads
    std::uint32_t candidate = l4::Balancer::no_candidate;
    bool ask_second = false;
  };

  // The packets of a burst that open flows, and those that wait for such a flow, in the order of their arrival;
  // fragments wait for all of them.
  struct OpeningPackets {
    struct Entry {
      std::uint64_t hash;
      std::uint64_t answer_hash;  // of the packets that come the other way
      std::uint8_t place;         // in the burst
      bool waits;                 // for the flow of another entry; without an opening of its own
    };
    std::array<Entry, burst_size> entries;
    std::array<l4::Opening<packet::Ipv4>, burst_size> v4;  // by place in `entries`
    std::array<l4::Opening<packet::Ipv6>, burst_size> v6;
    std::size_t count = 0;

    template <class Family>
    [[nodiscard]] l4::Opening<Family>& opening(std::size_t entry) {
      if constexpr (Family::is_v6) {
        return v6[entry];
      } else {
        return v4[entry];
      }
    }
  };

  // What is in a burst: layer 4 of one family alone, or anything. Bits, for a burst is what its packets are together.
  enum class Mix : unsigned { v4 = 1, v6 = 2, any = 7 };

  // burst.cc
  [[nodiscard]] Mix classify(rte_mbuf* packet, Pending& pending, std::uint16_t link);
  template <Mix mix, class Visit>
  static void if_layer4(const packet::PacketView& view, Visit&& visit);
  template <Mix mix>
  void look_up_and_forward(std::span<rte_mbuf*> packets, std::uint16_t link);
  template <Mix mix>
  void look_up(std::span<Pending> burst);
  template <Mix mix>
  static void prefetch_entries(std::span<const Pending> burst);
  void finish(rte_mbuf* packet, std::size_t place, std::uint16_t link);
  template <class Family>
  void begin(rte_mbuf* packet, std::size_t place, std::uint16_t link);
  void finish_openings(std::span<rte_mbuf*> packets, std::uint16_t link);
  void act(rte_mbuf* packet, packet::PacketView& view, const l4::Verdict& verdict);
  void act_on_received(rte_mbuf* packet, packet::PacketView& view, const l4::Verdict& verdict, std::uint16_t link);
  void receive_burst(std::span<rte_mbuf*> packets, std::uint16_t link);
  void handle_handed(rte_mbuf* packet);
  void forward(rte_mbuf* packet, neighbor::HopIndex hop);
  void forward_large(rte_mbuf* packet, neighbor::HopIndex hop, std::uint16_t mtu);
  // Layer 4 has written into the headroom, which all packets that it gets have (nic/pools.h).
  static void grow(rte_mbuf* packet, std::uint8_t bytes) {
    static_assert(RTE_PKTMBUF_HEADROOM >= l4::most_grown);
    if (bytes != 0) [[unlikely]] {
      rte_pktmbuf_prepend(packet, bytes);
    }
  }
  void transmit(rte_mbuf* packet, std::uint16_t link) {
    TransmitBuffer& buffer = transmit_[link];
    buffer.packets[buffer.count++] = packet;
    if (buffer.count == burst_size) {
      flush(link);
    }
  }
  // Sends a copy of a whole frame. False: there was no buffer.
  [[nodiscard]] bool send_if_room(std::uint16_t link, std::span<const std::uint8_t> frame);
  void flush(std::uint16_t link);
  void hand_off(rte_mbuf* packet, service::WorkerId to, PacketNote::Purpose purpose, std::uint32_t backend = 0);
  void drop(rte_mbuf* packet, packet::DropReason reason);
  static void parse(rte_mbuf* packet, packet::PacketView& view);

  // answers.cc
  void handle_other(rte_mbuf* packet, packet::PacketView& view, std::uint16_t link);
  void handle_neighbor_message(rte_mbuf* packet, const neighbor::NeighborMessage& message, std::uint16_t link);
  void handle_icmp(rte_mbuf* packet, packet::PacketView& view, std::uint16_t link);
  [[nodiscard]] l4::Verdict translate_error(packet::PacketView& view);
  void tell_too_big(rte_mbuf* packet, std::uint16_t mtu);
  void handle_unclaimed(rte_mbuf* packet, const packet::PacketView& view, std::uint16_t link);
  void to_kernel(rte_mbuf* packet, std::uint16_t link);
  [[nodiscard]] bool answers_for(const service::Address& address) const;
  [[nodiscard]] bool is_own(const service::Address& address) const;

  // terminating.cc
  void handle_terminated(rte_mbuf* packet, const packet::PacketView& view, std::uint16_t link,
                         service::ListenerId listener);
  // One of ours.
  void take_terminated(rte_mbuf* packet, const packet::PacketView& view, service::ListenerId listener);
  [[nodiscard]] std::optional<packet::DropReason> refuse_client(const packet::PacketView& view, service::ListenerId id);
  // An ICMP error that is no flow's. False: nor is it about TCP that ends here, and the packet is the caller's.
  [[nodiscard]] bool take_terminated_error(rte_mbuf* packet, const packet::PacketView& error, std::uint16_t link);
  [[nodiscard]] bool is_terminated(const packet::PacketView& view, const service::Address& destination) const {
    return tcp_ != nullptr && view.kind == packet::PacketKind::l4 && view.protocol == packet::protocol_tcp &&
           tcp_->is_ours(destination, __builtin_bswap16(packet::load<std::uint16_t>(view.l4 + 2)));
  }

  void expect_terminated(std::span<const Pending> burst) const;  // terminating.cc

  // vlan.cc
  void receive_tagged(std::span<rte_mbuf*> packets, std::uint16_t link);
  [[nodiscard]] std::optional<std::uint16_t> take_tag_off(rte_mbuf* packet, std::uint16_t carrier) const;
  void send_tagged(std::span<rte_mbuf*> packets, std::uint16_t link);

  // splitting.cc
  void send_in_pieces(rte_mbuf* packet, neighbor::HopIndex hop, std::uint16_t mtu);
  template <class Family>
  void send_in_pieces(rte_mbuf* packet, neighbor::HopIndex hop, std::uint16_t mtu);

  // fragments.cc
  void handle_fragment(rte_mbuf* packet, packet::PacketView& view, std::uint16_t link);
  void handle_handed_fragment(rte_mbuf* packet, packet::PacketView& view);
  template <class Family>
  void receive_fragment(rte_mbuf* packet, packet::PacketView& view);
  template <class Family>
  void handle_handed_fragment(rte_mbuf* packet, packet::PacketView& view);
  template <class Family>
  void pass_fragment(rte_mbuf* packet, packet::PacketView& view);
  template <class Family>
  void resume_fragment(rte_mbuf* packet, packet::PacketView& view, service::BackendId chosen);
  template <class Family>
  void decide_first(rte_mbuf* packet, const packet::PacketView& fragment, l4::DatagramIndex datagram,
                    std::optional<service::BackendId> chosen);
  template <class Family>
  void follow_first(rte_mbuf* packet, packet::PacketView& view, l4::DatagramIndex datagram);
  std::size_t expire_fragments();
  template <class Family>
  [[nodiscard]] l4::FragmentTable<Family>& fragments() {
    if constexpr (Family::is_v6) {
      return fragments_v6_;
    } else {
      return fragments_v4_;
    }
  }

  // watch.cc
  void receive_watched(std::span<rte_mbuf*> packets, std::uint16_t link);
  void handle_handed_watched(rte_mbuf* packet);
  void watch_sent(std::span<rte_mbuf*> packets, std::uint16_t link) const;
  template <class Handle>
  void observe(const packet::PacketView& view, const Passage& passage, unsigned wanted, bool handed_in,
               Handle&& handle);
  template <class Family>
  [[nodiscard]] Passage passage_of(const packet::PacketView& view, bool sent) const;
  [[nodiscard]] Passage passage_of(const packet::PacketView& view, bool sent) const;
  void find_terminated(Passage& passage, bool sent) const;
  void find_opened(bool is_v6, Passage& passage) const;
  [[nodiscard]] unsigned wanted_by_taps(const Passage& passage) const;
  [[nodiscard]] unsigned told_to_taps(unsigned wanted) const;
  void copy_to_taps(unsigned wanted, rte_mbuf* packet, std::uint16_t link, bool outbound) const;
  void copy_to(const Tap& tap, rte_mbuf* packet, std::uint16_t link, bool outbound) const;

  service::WorkerId id_;
  bool adaptive_;
  Coalescing coalescing_;
  std::vector<PortLink> links_;
  std::vector<TransmitBuffer> transmit_;
  std::vector<std::uint16_t> flush_order_;  // VLANs before their carriers
  std::vector<PacketRing*> hand_off_out_;
  std::vector<PacketRing*> hand_off_in_;
  Mailbox* mailbox_;
  Command* command_ = nullptr;  // under way
  nic::MbufPool* generate_;
  service::AddressSet own_addresses_;
  service::AddressSet local_addresses_;
  const std::atomic<const service::Snapshot*>* published_;
  const service::Snapshot* snapshot_ = nullptr;
  const std::atomic<const Taps*>* published_taps_;
  const Taps* taps_ = nullptr;           // of this turn; null: nobody watches
  bool relaying_ = false;                // what is sent now has been seen where it comes from
  const void* announced_for_ = nullptr;  // the set of VIPs that announced_ counts in; compared only
  rte_rcu_qsbr* rcu_;
  const Clock* clock_;
  std::uint64_t now_ns_ = 0;
  std::uint64_t next_expiry_ns_ = 0;
  std::uint64_t next_neighbor_ns_ = 0;
  const std::atomic<std::uint64_t>* links_came_up_;
  std::uint64_t announced_at_ = 0;  // its value, when all was announced
  std::size_t announced_ = 0;       // of the snapshot's VIPs and the local addresses, each on every link
  l4::RateLimit echo_limit_;
  l4::RateLimit too_big_limit_;
  std::array<Pending, burst_size> pending_;  // of the burst at hand; a member, so that no burst begins by clearing it
  OpeningPackets openings_;                  // the same
  neighbor::NeighborTable neighbors_;
  l4::Balancer balancer_;
  PacketCounters packets_;
  StageMeter stages_;
  packet::HashKey hash_key_;
  l4::FragmentTable<packet::Ipv4> fragments_v4_;
  l4::FragmentTable<packet::Ipv6> fragments_v6_;
  TurnCounters turns_;
  service::Counter heartbeat_;
  std::unique_ptr<TcpHost> tcp_;
};

}  // namespace steelyard::worker

// Layer 4 of one worker: finds a packet's flow or makes one, and says where the rewritten packet goes. It owns the
// worker's flow tables, local ports and schedulers; it knows neither mbufs nor queues (worker/ does) and never blocks,
// allocates or reads a clock: the time of the burst is given with `set_time`.
//
// Read first: flow.h (the entry), rewrite.h (the modes), ARCHITECTURE.md "A packet's way".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/l4/balancer_setup.h"
#include "dataplane/l4/bandwidth.h"
#include "dataplane/l4/counters.h"
#include "dataplane/l4/flow_filter.h"
#include "dataplane/l4/flow_table.h"
#include "dataplane/l4/fragment_path.h"
#include "dataplane/l4/local_ports.h"
#include "dataplane/l4/path_mtu.h"
#include "dataplane/l4/persistence.h"
#include "dataplane/l4/rate_limit.h"
#include "dataplane/l4/source_table.h"
#include "dataplane/l4/tcp_tracker.h"
#include "dataplane/l4/tunnel.h"
#include "dataplane/l4/verdict.h"
#include "dataplane/neighbor/neighbor_table.h"
#include "dataplane/packet/build.h"
#include "dataplane/packet/view.h"
#include "dataplane/schedule/scheduler.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/service/stable_array.h"

namespace steelyard::l4 {

class Balancer {
 public:
  explicit Balancer(const BalancerSetup& setup);

  // The configuration to decide new flows by; valid until the next call.
  void set_snapshot(const service::Snapshot* snapshot) {
    snapshot_ = snapshot;
    ++snapshots_;
  }
  // The time of this burst, nanoseconds since a point that all workers share.
  void set_time(std::uint64_t now_ns) {
    now_ns_ = now_ns;
    tick_ = Tick{now_ns / (1'000'000'000U / Tick::per_second)};
    tunnels_version_ = snapshots_ + path_mtus_.version(now_ns);
  }

  // Has any flow ever gone into a tunnel? Then packets may grow at their beginning.
  [[nodiscard]] bool enters_tunnels() const { return enters_tunnels_; }

  // The stages of a burst, for packets of kind l4: hash, candidate, handle. What a stage reads is asked for in a loop
  // of its own, of nothing but prefetches, before the stage: index_line() for the candidates, entry_line() for
  // handling. (A prefetch retires only when its address is translated. Among other work the few that fit the
  // processor's window would wait for one another; in a loop of their own the translations overlap. At ten million
  // flows that is a third of a packet's time.)
  template <class Family>
  [[nodiscard]] std::uint64_t hash_of(const packet::PacketView& view) const {
    return table<Family>().hash_of(view.tuple<Family>());
  }
  template <class Family>
  [[nodiscard]] const void* index_line(std::uint64_t hash) const {
    return table<Family>().index_line(hash);
  }
  // `line` is index_line(). With `ask_second` candidate_in_second() tells more once the other packets have had their
  // turn.
  static constexpr std::uint32_t no_candidate = FlowIndexTable::none;
  template <class Family>
  [[nodiscard]] FlowIndexTable::Candidate candidate(const void* line, std::uint64_t hash) const {
    return table<Family>().candidate(line, hash);
  }
  template <class Family>
  [[nodiscard]] std::uint32_t candidate_in_second(std::uint64_t hash) const {
    return table<Family>().candidate_in_second(hash);
  }
  template <class Family>
  [[nodiscard]] const void* entry_line(std::uint32_t candidate) const {
    return table<Family>().entry_line(candidate);
  }
  // `hash` is hash_of().
  template <class Family>
  [[nodiscard]] Verdict handle(packet::PacketView& view, std::uint64_t hash);

  // handle() in two steps, for the packets of a burst that open flows: a new flow's other side is known only when its
  // server is, and its place in the index is cold. begin() never says `forward` of such a packet but `opening`, and
  // opening_line() is what finish() reads; finish() forwards or drops. Between the two the snapshot and the time stay
  // the same, and a packet with the flow's hash, or with its other side's, waits until the flow is there.
  template <class Family>
  [[nodiscard]] Verdict begin(packet::PacketView& view, std::uint64_t hash, Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] const void* opening_line(const Opening<Family>& opening) const {
    return table<Family>().index_line(opening.answer_hash());
  }
  template <class Family>
  [[nodiscard]] Verdict finish(packet::PacketView& view, Opening<Family>& opening);
  // The fast path of handle(): a packet in the middle of a flow whose next hop is known is rewritten, and the hop is
  // returned. None (0): it was not such a packet, nothing was touched, and handle() is to be called. Defined in
  // forward_known.h, to be inlined into the worker's loop.
  template <class Family>
  [[nodiscard]] Forwarded forward_known(packet::PacketView& view, std::uint32_t candidate);

  // A first packet for which another worker asks us, the client's home, to choose the server. `asker` gets it back.
  template <class Family>
  [[nodiscard]] Verdict decide_for(packet::PacketView& view, service::WorkerId asker);
  // Our own first packet again, with the server that its home has chosen.
  template <class Family>
  [[nodiscard]] Verdict open_decided(packet::PacketView& view, service::BackendId backend);

  // An ICMP error (is_icmp_error()) about a packet that we have sent for one side of a flow: turned into one about what
  // that side has sent, and on its way to it. Unclaimed: it is not about a service of ours.
  template <class Family>
  [[nodiscard]] Verdict translate_error(packet::PacketView& view);

  // fragments.cc. A first fragment is handled like a whole packet (turn_into_first()). When that has said `forward` to
  // `hop`, this is the way of the fragments that follow: `received` is the packet's tuple as it came, `first` the
  // rewritten packet, to be renumbered, too.
  template <class Family>
  [[nodiscard]] FragmentPath<Family> path_of(const packet::Tuple<Family>& received, const packet::PacketView& first,
                                             neighbor::HopIndex hop);
  template <class Family>
  void renumber(const packet::PacketView& fragment, const FragmentPath<Family>& path);
  // A number for a packet that is split and has none, in network order.
  template <class Family>
  [[nodiscard]] std::uint32_t fragment_id(const typename Family::Address& source,
                                          const typename Family::Address& destination) {
    return fragment_ids_.next<Family>(source, destination);
  }
  // Rewrites a later fragment: forward, split, too_big or drop.
  template <class Family>
  [[nodiscard]] Verdict forward_later(const packet::PacketView& fragment, FragmentPath<Family>& path);

  // Ends what has been idle for too long; at most `budget` flows a call. Once a loop turn.
  // Returns how many it looked at.
  std::size_t expire(std::size_t budget);

  // Walks at most `budget` entries from `cursor` on (first call: 0) and calls visit(record) for each flow that matches.
  // Returns where to go on, or nothing at the end.
  template <class Visit>
  [[nodiscard]] std::optional<std::uint64_t> walk(const FlowFilter& filter, std::uint64_t cursor, std::size_t budget,
                                                  Visit&& visit);
  // Cursors from here on walk the IPv6 flows.
  static constexpr std::uint64_t second_table = std::uint64_t{1} << 32U;
  // The same walk; each match is ended, TCP by a reset to both sides. Returns also how many were.
  struct ResetProgress {
    std::optional<std::uint64_t> next;
    std::size_t ended = 0;
  };
  [[nodiscard]] ResetProgress reset(const FlowFilter& filter, std::uint64_t cursor, std::size_t budget);

  // bandwidth.cc. When a listener's limit is new: a walk as above, after which its flows keep the limit.
  [[nodiscard]] std::optional<std::uint64_t> forget_hops_of_limited(std::uint64_t cursor, std::size_t budget);

  // The flow of packets with this tuple, and the side that they come from; for who watches, it changes nothing.
  struct FoundFlow {
    FlowRecord flow;
    Side from;
  };
  template <class Family>
  [[nodiscard]] std::optional<FoundFlow> find_flow(const packet::Tuple<Family>& tuple) const {
    const auto found = table<Family>().find(tuple, table<Family>().hash_of(tuple));
    if (!found) {
      return std::nullopt;
    }
    return FoundFlow{record_of(table<Family>()[found->flow]), found->side};
  }

  // Where packets to an address go; nothing: no route, or no room for one more neighbour.
  [[nodiscard]] std::optional<neighbor::HopIndex> next_hop(const service::Address& destination);

  // layer7.cc: what connections that end here (worker/http_application.h) need of servers, limits and counts, which are
  // the same as layer 4's. A request under way counts as a connection of its server.
  // Why a SYN for a listener of layer 7 is dropped; nothing: it may be answered. Counts, so once for each attempt.
  template <class Family>
  [[nodiscard]] std::optional<packet::DropReason> refuse_client(const packet::PacketView& syn,
                                                                const service::Listener& listener);
  // A client's connection has come to be. False: its source has too many by now; it is not counted then.
  [[nodiscard]] bool client_comes(const service::Listener& listener, const service::Address& source);
  // One that was counted is over.
  void client_goes(service::ListenerId listener, const service::Address& source);
  // admission.cc. May its source ask for something now? If so, it counts; otherwise that is counted.
  [[nodiscard]] bool takes_request(const service::Listener& listener, const service::Address& source);
  // The server of the next request, by the target's scheduler, among those with a place for it here. `key`: what a
  // scheduler by hash goes by. `without`: places of servers that have been tried; of more than seven the first seven
  // count.
  [[nodiscard]] ServerChoice choose(const service::Listener& target, schedule::ClientKey key,
                                    std::span<const std::size_t> without);
  // Has a server that was chosen for another reason than its turn a place for one more request here?
  [[nodiscard]] bool has_place(const service::Server& server) { return !lacks_place(server); }
  void begin_request(const service::Listener& target, service::BackendId server);
  void end_request(service::ListenerId target, service::BackendId server);
  // bandwidth.cc. Bytes of IP packets that the clients of a listener with a limit may be sent now; what is sent while
  // there are any may be more, and all of it is to be told.
  [[nodiscard]] std::uint64_t bandwidth_credit(const service::Listener& listener);
  void use_bandwidth(service::ListenerId listener, std::uint64_t bytes);
  // A piece of payload has passed. The counters say "packets" and "bytes" of it.
  void count_payload(service::BackendId server, Side from, std::uint32_t octets) {
    backends_[server.value].count(from, octets);
  }

  [[nodiscard]] const BalancerCounters& counters() const { return counters_; }
  [[nodiscard]] std::size_t flows() const { return v4_.size() + v6_.size(); }
  // The worker that owns a client's flows.
  template <class Address>
  [[nodiscard]] service::WorkerId owner_of(const Address& client, std::uint16_t port) const {
    return {static_cast<std::uint16_t>(packet::reduce(packet::hash(key_, client, port), workers_))};
  }

 private:
  template <class Family>
  [[nodiscard]] FlowTable<Family>& table() {
    if constexpr (Family::is_v6) {
      return v6_;
    } else {
      return v4_;
    }
  }
  template <class Family>
  [[nodiscard]] const FlowTable<Family>& table() const {
    return const_cast<Balancer*>(this)->table<Family>();
  }

  template <class Family>
  [[nodiscard]] bool follow_one_sided(const packet::PacketView& view, Flow<Family>& flow);
  template <class Family>
  [[nodiscard]] Forwarded pass_known(const packet::PacketView& view, Flow<Family>& flow, std::uint16_t hop);
  template <class Family>
  [[nodiscard]] Forwarded tunnel_known(const packet::PacketView& view, Flow<Family>& flow, std::uint16_t hop);

  // balancer.cc: packets of known flows.
  template <class Family>
  [[nodiscard]] Verdict on_hit(packet::PacketView& view, FlowIndex index, Side from, Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] std::optional<Verdict> on_tcp_event(packet::PacketView& view, FlowIndex index, Side from,
                                                    const Segment& segment, Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] bool server_is_lost(const Flow<Family>& flow);
  template <class Family>
  void change_state(FlowIndex index, FlowState next, Side from);
  template <class Family>
  [[nodiscard]] neighbor::HopIndex hop_of(Flow<Family>& flow, Side towards);
  template <class Family>
  void cache_hop(Flow<Family>& flow, Side towards, neighbor::HopIndex hop) {
    if (neighbors_[hop].reachable && (towards == Side::server || !has_bandwidth_limit(flow.listener))) {
      flow.hop_towards(towards) = hop.value;
    }
  }

  template <class Family>
  [[nodiscard]] std::optional<service::WorkerId> owner_of_error(const packet::Tuple<Family>& sent) const;
  template <class Family>
  [[nodiscard]] Verdict pass_error(const packet::PacketView& view, const Flow<Family>& flow, Side towards);
  template <class Family>
  [[nodiscard]] bool is_foreign(const packet::PacketView& error, const typename Family::Address& receiver) const;

  // bandwidth.cc: what clients are sent at most.
  // A packet of a flow goes to the client. False: the listener has had its share. Flows of a listener that was removed
  // have no limit.
  [[nodiscard]] bool within_bandwidth(service::ListenerId listener, std::uint16_t bytes) {
    return !has_bandwidth_limit(listener) || ask_meter(*snapshot_->find(listener), bytes);
  }
  [[nodiscard]] bool has_bandwidth_limit(service::ListenerId id) const {
    const service::Listener* listener = snapshot_->find(id);
    return listener != nullptr && listener->bandwidth != 0;
  }
  [[nodiscard]] bool ask_meter(const service::Listener& listener, std::uint16_t bytes);
  // This worker's part of it: bytes a second, and at once after silence.
  struct Bandwidth {
    std::uint64_t rate = 0;
    std::uint64_t burst = 0;
  };
  [[nodiscard]] Bandwidth bandwidth_of(const service::Listener& listener) const;

  // client_address.cc: telling servers of full NAT who the client is.
  template <class Family>
  [[nodiscard]] static Segment read_told(packet::PacketView& view, const Flow<Family>& flow, Side from,
                                         packet::ChecksumDelta& changed);
  template <class Family>
  void begin_telling(FlowIndex index, FlowState next, const packet::PacketView& view, const Segment& segment);
  template <class Family>
  [[nodiscard]] std::uint8_t tell_by_option(packet::PacketView& view, const Flow<Family>& flow, neighbor::HopIndex hop);
  template <class Family>
  bool send_header(Flow<Family>& flow, std::uint16_t window);
  template <class Family>
  [[nodiscard]] std::uint32_t repeat_header(FlowIndex index, std::uint32_t waited);
  template <class Family>
  void reset_headless(const Flow<Family>& flow);

  // opening.cc: packets without a flow.
  template <class Family>
  [[nodiscard]] Verdict on_miss(packet::PacketView& view, Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] Verdict without_flow(const packet::PacketView& view);
  template <class Family>
  [[nodiscard]] Verdict begin_decided(packet::PacketView& view, service::BackendId backend, Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] Verdict open_with(packet::PacketView& view, const service::Listener& listener,
                                  std::optional<std::size_t> server, Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] Verdict refuse(const packet::PacketView& view, packet::DropReason reason);
  template <class Family>
  [[nodiscard]] Verdict open(packet::PacketView& view, const service::Listener& listener, Opening<Family>& opening);
  [[nodiscard]] std::optional<std::size_t> persistent_server(const service::Listener& listener,
                                                             const service::Address& client, service::WorkerId home);
  // server_choice.cc: servers that take a limited number of connections.
  [[nodiscard]] ServerChoice choose_server(const service::Listener& listener, schedule::ClientKey client,
                                           schedule::Need need) {
    if (listener.limited) [[unlikely]] {
      return choose_limited(listener, client, need);
    }
    return {scheduler_of(listener).pick(listener, load(), client), packet::DropReason::no_usable_server};
  }
  [[nodiscard]] ServerChoice choose_limited(const service::Listener& listener, schedule::ClientKey client,
                                            schedule::Need need);
  [[nodiscard]] std::optional<packet::DropReason> lacks_place(const service::Server& server);
  template <class Family>
  [[nodiscard]] Verdict turn_away(const packet::PacketView& view, const service::Listener& listener,
                                  packet::DropReason reason);
  [[nodiscard]] schedule::PlaceView places() const;
  template <class Family>
  [[nodiscard]] Verdict prepare(packet::PacketView& view, const service::Listener& listener, std::size_t server,
                                Opening<Family>& opening);
  template <class Family>
  void describe(const packet::Tuple<Family>& client_side, const service::Listener& listener, std::size_t server,
                Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] bool reserve_flow(bool tcp);
  template <class Family>
  void release_reserved(const Flow<Family>& flow);
  template <class Family>
  void count_connection(const Opening<Family>& opening, bool more);
  template <class Family>
  void set_server(Opening<Family>& opening, std::size_t place);
  template <class Family>
  [[nodiscard]] bool settle_server_side(Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] bool free_tuple(const packet::Tuple<Family>& tuple, std::uint64_t hash);
  template <class Family>
  [[nodiscard]] std::optional<packet::DropReason> take_local_port(Flow<Family>& flow, packet::Sequence client_isn);
  template <class Family>
  void free_half_open_port();
  template <class Family>
  void give_back_port(const Flow<Family>& flow, std::uint32_t lingering_flow);
  template <class Family>
  [[nodiscard]] const service::Listener* listener_of(const packet::Tuple<Family>& tuple) const;
  template <class Family>
  [[nodiscard]] std::optional<service::WorkerId> owner_of_unknown(const packet::Tuple<Family>& tuple) const;
  // layer7.cc: whose a packet without a flow is, when layer 7 may have it.
  template <class Family>
  [[nodiscard]] std::optional<Verdict> terminated(const packet::PacketView& view, const packet::Tuple<Family>& tuple,
                                                  const service::Listener* listener);
  template <class Family>
  [[nodiscard]] bool ends_at_former_listener(const packet::Tuple<Family>& tuple) const;
  template <class Family>
  [[nodiscard]] bool ends_at_local_port(const packet::Tuple<Family>& tuple) const;
  [[nodiscard]] std::uint64_t next_random();
  [[nodiscard]] std::uint32_t now_seconds() const { return static_cast<std::uint32_t>(now_ns_ / 1'000'000'000U); }

  // admission.cc: who may open a flow.
  [[nodiscard]] bool is_shut_out(const service::Listener& listener, const service::Address& source);
  [[nodiscard]] std::optional<packet::DropReason> over_limit(const service::Listener& listener,
                                                             const service::Address& source);
  [[nodiscard]] bool has_too_many(const service::Listener& listener, const service::Address& source);
  [[nodiscard]] SourceTable::Use use_of(const SourceKey& key, const WindowTime& now) const;
  // A flow counts as a connection of its source for as long as it counts as one of its server.
  template <class Family>
  void count_for_source(const service::Listener& listener, const Flow<Family>& flow, bool more) {
    if (listener.per_source.any()) [[unlikely]] {
      count_source(listener, to_service(flow.client), more);
    }
  }
  void count_source(const service::Listener& listener, const service::Address& source, bool more);
  [[nodiscard]] ListenerCounters& counters_of(const service::Listener& listener) {
    return (*listeners_[worker_.value])[listener.id.value];
  }

  // adoption.cc: connections that are taken over in their middle.
  template <class Family>
  [[nodiscard]] Verdict adopt_from_client(packet::PacketView& view, const service::Listener& listener,
                                          Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] Verdict adopt_from_server(packet::PacketView& view, Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] std::optional<std::size_t> server_by_hash(const service::Listener& listener,
                                                          const packet::Tuple<Family>& client_side);
  template <class Family>
  [[nodiscard]] Verdict adopt(packet::PacketView& view, const packet::Tuple<Family>& client_side,
                              const service::Listener& listener, std::size_t server, Side from,
                              Opening<Family>& opening);
  template <class Family>
  [[nodiscard]] bool both_sides_free(const Opening<Family>& opening);

  // ending.cc: how flows end.
  template <class Family>
  void remove(FlowIndex index);
  template <class Family>
  void close_books(Flow<Family>& flow);
  template <class Family>
  void reset_both(FlowIndex index);
  template <class Family>
  [[nodiscard]] std::uint32_t on_timer(FlowIndex index);
  template <class Family>
  bool keep_client_closed();
  template <class Family>
  std::size_t expire_queues(std::size_t budget);
  template <class Family>
  [[nodiscard]] std::uint32_t timeout_of(const Flow<Family>& flow) const;
  template <class Family>
  void send_reset(const packet::TcpControl<Family>& reset, const service::Address& towards);
  template <class Family>
  void send_reset_to_server(const packet::TcpControl<Family>& reset, const Flow<Family>& flow);

  // tunnel.cc: packets to servers behind a tunnel.
  template <class Family>
  void set_tunnel_end(service::BackendId backend, const service::Address& server);
  [[nodiscard]] bool update_tunnel_end(TunnelEnd& end);
  template <class Family>
  [[nodiscard]] Verdict enter_tunnel(const packet::PacketView& view, service::BackendId backend,
                                     std::uint64_t variation, neighbor::HopIndex hop);
  template <class Family>
  [[nodiscard]] Verdict split_or_refuse(const packet::PacketView& view, const TunnelEnd& end, std::uint64_t variation,
                                        neighbor::HopIndex hop);
  template <class Family>
  [[nodiscard]] bool learn_path_mtu(const packet::PacketView& error);
  // Where packets of the flow to one of its sides are sent to: not what they bear in `dr` and `tunnel`.
  template <class Family>
  [[nodiscard]] service::Address way_to(const Flow<Family>& flow, Side side) const;
  template <class Family>
  [[nodiscard]] FlowRecord record_of(const Flow<Family>& flow) const {
    return {to_service(flow.client),
            to_service(flow.vip),
            to_service(flow.local),
            way_to(flow, Side::server),
            __builtin_bswap16(flow.client_port),
            __builtin_bswap16(flow.vip_port),
            __builtin_bswap16(flow.local_port),
            __builtin_bswap16(flow.server_port),
            flow.listener,
            flow.state(),
            flow.mode(),
            static_cast<std::uint32_t>(elapsed(tick_, flow.last_seen) / Tick::per_second)};
  }
  // pass_on(), and into the tunnel where there is one.
  template <class Family>
  [[nodiscard]] Verdict send_on(const packet::PacketView& view, const Flow<Family>& flow, Side from,
                                neighbor::HopIndex hop, packet::ChecksumDelta extra = {});

  // The listener's scheduler, brought up to date with its servers and their health.
  [[nodiscard]] schedule::Scheduler& scheduler_of(const service::Listener& listener);
  [[nodiscard]] schedule::LoadView load() const;
  // What to call it when there was none.
  [[nodiscard]] packet::DropReason why_no_hop(const service::Address& destination) const;

  service::WorkerId worker_;
  std::uint32_t workers_;
  packet::HashKey key_;
  packet::HashKey sequence_key_;
  std::uint64_t sequence_clock_ns_;
  std::uint64_t random_;  // state of the numbers that only must not be guessed easily
  const service::Snapshot* snapshot_ = nullptr;
  std::uint64_t now_ns_ = 0;
  Tick tick_;
  FlowTable<packet::Ipv4> v4_;
  FlowTable<packet::Ipv6> v6_;
  service::AddressSet own_addresses_;
  LocalAddressPool pool_;
  PortRange terminated_ports_;
  service::StableArray<schedule::Scheduler>& schedulers_;  // by listener id
  std::vector<PersistenceTable*> persistence_;
  service::StableArray<BackendCounters>& backends_;
  service::StableArray<TunnelEnd>& tunnels_;
  PathMtuTable& path_mtus_;
  std::uint32_t snapshots_ = 1;
  bool enters_tunnels_ = false;
  std::uint32_t tunnels_version_ = 0;                                       // of what tunnel ends are made from
  std::array<std::vector<service::Address>, 2> tunnel_sources_;             // of the pool: IPv4, IPv6
  std::vector<std::array<std::vector<service::Address>, 2>> port_sources_;  // by PortIndex
  std::vector<std::uint16_t> port_mtus_;
  std::vector<service::StableArray<ListenerCounters>*> listeners_;
  std::vector<SourceTable*> sources_;
  service::StableArray<service::Gauge>& active_;
  const service::StableArray<service::Gauge>& others_;
  const std::atomic<std::uint64_t>& others_version_;
  const service::StableArray<service::Gauge>* permits_;  // null: nobody has limits
  service::StableArray<BandwidthMeter>* meters_;         // these two as well
  const service::StableArray<service::Counter>* bandwidth_shares_;
  neighbor::NeighborTable& neighbors_;
  BalancerOutput& output_;
  FragmentIds fragment_ids_;
  RateLimit reset_limit_;
  RateLimit unreachable_limit_;
  BalancerCounters counters_;
};

template <class Visit>
std::optional<std::uint64_t> Balancer::walk(const FlowFilter& filter, std::uint64_t cursor, std::size_t budget,
                                            Visit&& visit) {
  const auto step = [&]<class Family>(std::uint64_t from, std::uint64_t base) -> std::optional<std::uint64_t> {
    const FlowTable<Family>& flows = table<Family>();
    std::uint64_t at = from;
    for (; at < flows.walk_end() && budget > 0; ++at, --budget) {
      const Flow<Family>& flow = flows[FlowIndex{static_cast<std::uint32_t>(at)}];
      if (flow.state() == FlowState::free || !filter.matches(flow, way_to(flow, Side::server))) {
        continue;
      }
      visit(record_of(flow));
    }
    return at < flows.walk_end() ? std::optional(base + at) : std::nullopt;
  };
  if (cursor < second_table) {
    const auto next = step.template operator()<packet::Ipv4>(cursor, 0);
    if (next || budget == 0) {
      return next.value_or(second_table);
    }
    cursor = second_table;
  }
  return step.template operator()<packet::Ipv6>(cursor - second_table, second_table);
}

}  // namespace steelyard::l4

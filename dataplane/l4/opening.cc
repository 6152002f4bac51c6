// Packets without a flow: whose they are, which server a new connection gets, and the making of its flow.
#include <array>

#include "dataplane/l4/balancer.h"
#include "dataplane/l4/client_key.h"
#include "dataplane/l4/proxy_header.h"
#include "dataplane/l4/rewrite.h"

namespace steelyard::l4 {
namespace {

using packet::DropReason;

// Servers that are tried when the return tuple of the first is taken.
constexpr std::size_t max_server_tries = 8;

template <class Family>
std::uint32_t server_hash(const packet::HashKey& key, const Flow<Family>& flow) {
  return static_cast<std::uint32_t>(packet::hash(key, flow.server, flow.server_port)) | 1U;
}

}  // namespace

// splitmix64: fast and well mixed; nothing secret is derived from it.
std::uint64_t Balancer::next_random() {
  random_ += 0x9e3779b97f4a7c15U;
  std::uint64_t value = random_;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

schedule::LoadView Balancer::load() const {
  return {active_.all(), others_.all(), others_version_.load(std::memory_order_acquire)};
}

schedule::Scheduler& Balancer::scheduler_of(const service::Listener& listener) {
  schedule::Scheduler& scheduler = schedulers_[listener.id.value];
  if (!scheduler.is_current(listener, now_ns_)) {
    scheduler.rebuild(listener, {worker_, static_cast<std::uint16_t>(workers_)}, load(), now_ns_);
  }
  return scheduler;
}

template <class Family>
const service::Listener* Balancer::listener_of(const packet::Tuple<Family>& tuple) const {
  const auto id = snapshot_->index->find({to_service(tuple.destination), __builtin_bswap16(tuple.destination_port),
                                          static_cast<service::Protocol>(tuple.protocol)});
  return id ? snapshot_->find(*id) : nullptr;
}

// The worker of a packet without a flow that no listener is there for; nothing when it has nothing to do with our
// services.
template <class Family>
std::optional<service::WorkerId> Balancer::owner_of_unknown(const packet::Tuple<Family>& tuple) const {
  const service::Address destination = to_service(tuple.destination);
  const std::uint16_t port = __builtin_bswap16(tuple.destination_port);
  if (snapshot_->former_listeners->contains({destination, port, static_cast<service::Protocol>(tuple.protocol)})) {
    return owner_of(tuple.source, tuple.source_port);
  }
  if (const auto place = pool_.find(destination); place && pool_.contains_port(*place, port)) {
    return service::WorkerId{static_cast<std::uint16_t>(port % workers_)};
  }
  // A server's answer to the node itself, to a health probe for one, is not one to a client.
  if (!own_addresses_.contains(destination) &&
      snapshot_->nat_servers->contains({to_service(tuple.source), __builtin_bswap16(tuple.source_port),
                                        static_cast<service::Protocol>(tuple.protocol)})) {
    return owner_of(tuple.destination, tuple.destination_port);
  }
  return std::nullopt;
}

template <class Family>
Verdict Balancer::on_miss(packet::PacketView& view, Opening<Family>& opening) {
  const auto tuple = view.tuple<Family>();
  const service::Listener* listener = listener_of<Family>(tuple);
  if (listener == nullptr || listener->http != nullptr || !opens_connection(view)) {
    if (const auto verdict = terminated<Family>(view, tuple, listener)) {
      return *verdict;
    }
  }
  if (listener != nullptr) {
    const service::WorkerId owner = owner_of(tuple.source, tuple.source_port);
    return owner == worker_ ? open<Family>(view, *listener, opening) : Verdict::handed_off(owner);
  }
  const auto owner = owner_of_unknown<Family>(tuple);
  if (!owner) {
    return {.kind = Verdict::Kind::unclaimed};
  }
  return *owner == worker_ ? adopt_from_server<Family>(view, opening) : Verdict::handed_off(*owner);
}

// A packet in the middle of something that we do not know (any more).
template <class Family>
Verdict Balancer::without_flow(const packet::PacketView& view) {
  if (view.protocol != packet::protocol_tcp) {
    return Verdict::dropped(DropReason::no_flow);
  }
  if ((view.tcp_flags & packet::tcp_flag::rst) != 0) {
    return Verdict::dropped(DropReason::reply_is_reset);
  }
  if (snapshot_->reset_unknown_tcp && reset_limit_.allow(now_ns_)) {
    send_reset<Family>(packet::reset_answer<Family>(view), to_service(view.source<Family>()));
  }
  return Verdict::dropped(DropReason::no_flow);
}

// Tells the client at once that nobody serves it: RST, or ICMP port unreachable for UDP.
template <class Family>
Verdict Balancer::refuse(const packet::PacketView& view, DropReason reason) {
  if (view.protocol == packet::protocol_tcp) {
    if (!reset_limit_.allow(now_ns_)) {
      return Verdict::dropped(DropReason::answer_rate_limited);
    }
    send_reset<Family>(packet::reset_answer<Family>(view), to_service(view.source<Family>()));
    return Verdict::dropped(reason);
  }
  if (!unreachable_limit_.allow(now_ns_)) {
    return Verdict::dropped(DropReason::answer_rate_limited);
  }
  std::array<std::uint8_t, packet::largest_built_packet> room;
  const std::size_t length = packet::build_port_unreachable<Family>(room, view);
  const auto hop = next_hop(to_service(view.source<Family>()));
  if (hop && output_.send_built(std::span(room).first(length), Family::is_v6, *hop)) {
    counters_.unreachables_sent.add();
  }
  return Verdict::dropped(reason);
}

// The server that the client's home worker remembers, as a place in the listener, if it can still take connections.
std::optional<std::size_t> Balancer::persistent_server(const service::Listener& listener,
                                                       const service::Address& client, service::WorkerId home) {
  const auto backend = persistence_[home.value]->find(listener.id, client, now_seconds(),
                                                      static_cast<std::uint32_t>(listener.persistence_timeout.count()));
  if (!backend) {
    return std::nullopt;
  }
  const schedule::Scheduler& scheduler = scheduler_of(listener);
  const auto place = scheduler.find(listener, *backend);
  return place && scheduler.effective_weight(listener, *place) > 0 ? place : std::nullopt;
}

template <class Family>
Verdict Balancer::open(packet::PacketView& view, const service::Listener& listener, Opening<Family>& opening) {
  const service::Address source = to_service(view.source<Family>());
  if (is_shut_out(listener, source)) {
    return Verdict::dropped(DropReason::access_denied);
  }
  if (!opens_connection(view)) {
    return adopt_from_client<Family>(view, listener, opening);
  }
  // One of our own addresses as a source is forged; behind `nat` it would claim a tuple of full NAT's, or of a health
  // probe's, at the server.
  if (pool_.find(source) || own_addresses_.contains(source) || snapshot_->vips->contains(source)) {
    return Verdict::dropped(DropReason::ip_source_bad);
  }
  if (!listener.running) {
    return refuse<Family>(view, DropReason::listener_stopped);
  }
  if (listener.limits_clients()) {
    if (const auto reason = over_limit(listener, source)) {
      return Verdict::dropped(*reason);
    }
  }
  if (listener.persistence_timeout.count() == 0) {
    return open_with<Family>(view, listener, std::nullopt, opening);
  }
  const auto client = view.source<Family>();
  const service::WorkerId home = owner_of(client, 0);
  const auto known = persistent_server(listener, to_service(client), home);
  if (known && !places().is_full(listener.servers[*known])) {
    counters_.persistence_hits.add();
    return open_with<Family>(view, listener, known, opening);
  }
  if (home != worker_) {
    counters_.persistence_asked_home.add();
    return {.kind = Verdict::Kind::ask_home, .worker = home};
  }
  const Verdict decided = decide_for<Family>(view, worker_);
  return decided.kind == Verdict::Kind::return_to ? begin_decided<Family>(view, decided.backend, opening) : decided;
}

template <class Family>
Verdict Balancer::decide_for(packet::PacketView& view, service::WorkerId asker) {
  const service::Listener* listener = listener_of<Family>(view.tuple<Family>());
  if (listener == nullptr || listener->http != nullptr) {
    return Verdict::dropped(DropReason::unmatched);  // a reload took the listener while the packet was under way
  }
  const service::Address client = to_service(view.source<Family>());
  auto place = persistent_server(*listener, client, worker_);
  if (!place || places().is_full(listener->servers[*place])) {
    const auto need = asker == worker_ ? schedule::Need::permit : schedule::Need::room;
    const ServerChoice choice = choose_server(*listener, key_of<Family>(*listener, view.tuple<Family>()), need);
    if (!choice.server) {
      return turn_away<Family>(view, *listener, choice.refused);
    }
    place = choice.server;
    persistence_[worker_.value]->put(listener->id, client, listener->servers[*place].id, now_seconds());
  }
  return {.kind = Verdict::Kind::return_to, .worker = asker, .backend = listener->servers[*place].id};
}

template <class Family>
Verdict Balancer::begin_decided(packet::PacketView& view, service::BackendId backend, Opening<Family>& opening) {
  const service::Listener* listener = listener_of<Family>(view.tuple<Family>());
  if (listener == nullptr || listener->http != nullptr) {
    return Verdict::dropped(DropReason::unmatched);
  }
  if (is_shut_out(*listener, to_service(view.source<Family>()))) {
    return Verdict::dropped(DropReason::access_denied);  // by a reload, while its home decided
  }
  if (has_too_many(*listener, to_service(view.source<Family>()))) {
    return Verdict::dropped(DropReason::source_connections_exceeded);  // others of the source were faster
  }
  const auto place = scheduler_of(*listener).find(*listener, backend);
  return place ? open_with<Family>(view, *listener, place, opening)
               : Verdict::dropped(DropReason::no_usable_server);  // removed meanwhile; a retry is decided anew
}

template <class Family>
Verdict Balancer::open_decided(packet::PacketView& view, service::BackendId backend) {
  Opening<Family> opening;
  const Verdict verdict = begin_decided<Family>(view, backend, opening);
  return verdict.kind == Verdict::Kind::opening ? finish<Family>(view, opening) : verdict;
}

template <class Family>
Verdict Balancer::open_with(packet::PacketView& view, const service::Listener& listener,
                            std::optional<std::size_t> server, Opening<Family>& opening) {
  const auto tuple = view.tuple<Family>();
  opening.client_hash = table<Family>().hash_of(tuple);
  // A retransmitted first packet may have been decided twice on its way over the home worker.
  if (const auto hit = table<Family>().find(tuple, opening.client_hash)) {
    return on_hit<Family>(view, hit->flow, hit->side, opening);
  }
  if (view.l3[Family::ttl_offset] <= 1) {
    return Verdict::dropped(DropReason::ttl_expired);
  }
  if (!server) {
    const ServerChoice choice = choose_server(listener, key_of<Family>(listener, tuple), schedule::Need::permit);
    if (!choice.server) [[unlikely]] {
      return turn_away<Family>(view, listener, choice.refused);
    }
    server = choice.server;
  } else if (const auto refused = lacks_place(listener.servers[*server])) [[unlikely]] {
    return turn_away<Family>(view, listener, *refused);
  }
  return prepare<Family>(view, listener, *server, opening);
}

// Room for one more flow, set aside; the oldest of those that need not stay gives way. False: there is none.
template <class Family>
bool Balancer::reserve_flow(bool tcp) {
  FlowTable<Family>& flows = table<Family>();
  constexpr std::uint32_t none = FlowTimers<Flow<Family>>::none;
  if (tcp && flows.half_open() >= flows.half_open_limit()) {
    const std::uint32_t oldest = flows.timers().oldest_half_open();
    if (oldest == none) {
      return false;  // all of them belong to this burst
    }
    counters_.half_open_replaced.add();
    remove<Family>(FlowIndex{oldest});
  }
  if (flows.size() == flows.capacity()) {
    std::uint32_t ended = flows.timers().oldest_lingering();
    if (ended == none) {
      for (int kept = 0; kept < 4 && keep_client_closed<Family>(); ++kept) {
      }
      ended = flows.timers().oldest_client_closed();
    }
    if (ended != none) {
      counters_.lingering_recycled.add();
      remove<Family>(FlowIndex{ended});
    }
  }
  if (!flows.reserve()) {
    return false;
  }
  if (tcp) {
    flows.add_half_open();
  }
  return true;
}

template <class Family>
void Balancer::release_reserved(const Flow<Family>& flow) {
  table<Family>().release_reserved();
  if (flow.half_open()) {
    table<Family>().subtract_half_open();
  }
}

// Counted where it is decided: the next packet of a burst, too, is decided by true loads.
template <class Family>
void Balancer::count_connection(const Opening<Family>& opening, bool more) {
  service::Gauge& active = active_[opening.flow.backend];
  more ? active.add() : active.subtract();
  count_for_source<Family>(*opening.listener, opening.flow, more);
  scheduler_of(*opening.listener).load_changed(*opening.listener, opening.flow.backend_id(), load());
}

template <class Family>
void Balancer::set_server(Opening<Family>& opening, std::size_t place) {
  const service::Server& chosen = opening.listener->servers[place];
  opening.server = place;
  opening.flow.server_port = __builtin_bswap16(chosen.port);
  opening.flow.backend = chosen.id.value & 0xffffffU;
  if (opening.flow.mode() == service::Mode::tunnel) {
    set_tunnel_end<Family>(chosen.id, chosen.address);
  } else {
    opening.flow.server = from_service<Family>(chosen.address);
  }
}

// Who takes part in a new flow, whose state is to be set.
template <class Family>
void Balancer::describe(const packet::Tuple<Family>& client_side, const service::Listener& listener, std::size_t server,
                        Opening<Family>& opening) {
  Flow<Family>& flow = opening.flow;
  flow = {};
  flow.client = client_side.source;
  flow.vip = client_side.destination;
  flow.client_port = client_side.source_port;
  flow.vip_port = client_side.destination_port;
  flow.set_mode(listener.mode);
  flow.listener = listener.id;
  flow.last_seen = tick_.low();
  opening.from = Side::client;
  opening.listener = &listener;
  set_server<Family>(opening, server);
}

// Everything about a new flow that needs no look at its server side's place in the index.
template <class Family>
Verdict Balancer::prepare(packet::PacketView& view, const service::Listener& listener, std::size_t server,
                          Opening<Family>& opening) {
  const auto tuple = view.tuple<Family>();
  const bool tcp = tuple.protocol == packet::protocol_tcp;
  Flow<Family>& flow = opening.flow;
  describe<Family>(tuple, listener, server, opening);
  flow.set_state(tcp ? FlowState::syn_sent : FlowState::udp);
  const service::Address& towards = listener.servers[server].address;
  const auto hop = next_hop(towards);
  if (!hop) {
    return Verdict::dropped(why_no_hop(towards));
  }
  opening.hop = *hop;
  if (!reserve_flow<Family>(tcp)) {
    return Verdict::dropped(DropReason::flow_table_full);
  }
  if (tcp && listener.client_address != service::ClientAddress::none) {
    flow.owe_address(listener.client_address);
    if (listener.client_address == service::ClientAddress::proxy_v2) {
      cut_syn_data<Family>(view);
    }
  }
  const Segment segment = tcp ? Segment::of(view) : Segment{};
  if (listener.mode == service::Mode::fullnat) {
    if (const auto refused = take_local_port<Family>(flow, segment.sequence)) {
      release_reserved<Family>(flow);
      return Verdict::dropped(*refused);
    }
  } else {
    flow.local = flow.client;
    flow.local_port = flow.client_port;
  }
  if (tcp) {
    remember_first(flow, segment);
  }
  // A one-sided flow is found by its client side alone.
  opening.server_hash = flow.one_sided() ? opening.client_hash : table<Family>().hash_of(flow.server_side());
  count_connection<Family>(opening, true);
  return {.kind = Verdict::Kind::opening};
}

template <class Family>
Verdict Balancer::finish(packet::PacketView& view, Opening<Family>& opening) {
  Flow<Family>& flow = opening.flow;
  FlowTable<Family>& flows = table<Family>();
  const bool tcp = flow.state() != FlowState::udp;
  const bool adopted = flow.adopted();
  if (flow.mode() == service::Mode::nat &&
      !(adopted ? both_sides_free<Family>(opening) : settle_server_side<Family>(opening))) {
    count_connection<Family>(opening, false);
    release_reserved<Family>(flow);
    return Verdict::dropped(DropReason::reverse_tuple_collision);
  }
  cache_hop<Family>(flow, opposite(opening.from), opening.hop);
  const auto index = flows.insert_reserved(flow, opening.client_hash, opening.server_hash);
  if (!index) {
    count_connection<Family>(opening, false);
    give_back_port<Family>(flow, PortHistory::no_flow);
    release_reserved<Family>(flow);
    return Verdict::dropped(DropReason::flow_table_full);
  }
  if (tcp) {
    flows.timers().append_half_open(*index);
  } else {
    flows.timers().schedule(*index, tick_, timeout_of<Family>(flow));
  }
  (adopted ? counters_.adopted : backends_[flow.backend].connections).add();
  counters_.flows_created.add();
  if (adopted) [[unlikely]] {
    backends_[flow.backend].count(opening.from, view.l3_length);
    return send_on(view, flow, opening.from, opening.hop);
  }
  backends_[flow.backend].count(Side::client, view.l3_length);
  packet::ChecksumDelta extra;
  if (tcp && flow.mode() == service::Mode::fullnat && opening.listener->strip_timestamps) {
    strip_timestamps(view.l4, extra);
  }
  return send_on(view, flow, Side::client, opening.hop, extra);
}

// May a flow take this tuple? An ended one that still holds it gives way.
template <class Family>
bool Balancer::free_tuple(const packet::Tuple<Family>& tuple, std::uint64_t hash) {
  const auto hit = table<Family>().find(tuple, hash);
  if (!hit) {
    return true;
  }
  if (table<Family>()[hit->flow].state() != FlowState::lingering) {
    return false;
  }
  counters_.lingering_recycled.add();
  remove<Family>(hit->flow);
  return true;
}

// In `nat` mode the server sees the client's own address and port, so a client that uses one port through two listeners
// can reach a given server only once, and a server that is a client itself cannot be sent its own packets: then the
// next server is tried. False: none of those that were tried can have the flow.
template <class Family>
bool Balancer::settle_server_side(Opening<Family>& opening) {
  Flow<Family>& flow = opening.flow;
  const auto fits = [&] {
    return !(flow.server == flow.client) && free_tuple<Family>(flow.server_side(), opening.server_hash);
  };
  if (fits()) [[likely]] {
    return true;
  }
  std::array<std::size_t, max_server_tries - 1> tried{};
  for (std::size_t tries = 0; tries < tried.size();) {
    tried[tries++] = opening.server;
    const auto other = scheduler_of(*opening.listener)
                           .pick_other(*opening.listener, std::span(tried).first(tries),
                                       key_of(*opening.listener, flow.client_side()));
    if (!other) {
      return false;
    }
    if (lacks_place(opening.listener->servers[*other])) {
      opening.server = *other;  // passed over like those whose tuple is taken
      continue;
    }
    count_connection<Family>(opening, false);
    set_server<Family>(opening, *other);
    count_connection<Family>(opening, true);
    opening.server_hash = table<Family>().hash_of(flow.server_side());
    const auto hop = next_hop(to_service(flow.server));
    if (hop && fits()) {
      opening.hop = *hop;
      return true;
    }
  }
  return false;
}

// Half-open flows must not keep the ports from those who complete their handshake: the oldest one that has a port gives
// it up. Its server is told, since it would take the next SYN from that port for part of the old handshake.
template <class Family>
void Balancer::free_half_open_port() {
  constexpr int most_looked_at = 8;
  FlowTable<Family>& flows = table<Family>();
  std::uint32_t place = flows.timers().oldest_half_open();
  for (int looked_at = 0; looked_at < most_looked_at && place != FlowTimers<Flow<Family>>::none; ++looked_at) {
    const Flow<Family>& flow = flows[FlowIndex{place}];
    if (flow.mode() == service::Mode::fullnat) {
      send_reset<Family>(
          {flow.server_side().reversed(), flow.client_sequence_end + flow.sequence_delta, {}, packet::tcp_flag::rst},
          to_service(flow.server));
      counters_.half_open_replaced.add();
      remove<Family>(FlowIndex{place});
      return;
    }
    place = flow.next;
  }
}

// Takes a local port and, for TCP, the server-side numbering: the initial sequence number is keyed and follows a clock
// (RFC 6528), and on a port that the same server has seen before it is later than what that connection ended with, so
// that the server's TIME_WAIT gives way at once (RFC 9293 section 3.6.1, RFC 1122 section 4.2.2.13).
template <class Family>
std::optional<DropReason> Balancer::take_local_port(Flow<Family>& flow, packet::Sequence client_isn) {
  auto choice = pool_.allocate(Family::is_v6);
  if (!choice) {
    free_half_open_port<Family>();
    choice = pool_.allocate(Family::is_v6);
    if (!choice) {
      return DropReason::local_ports_exhausted;
    }
  }
  flow.local = from_service<Family>(pool_.address(choice->address));
  flow.local_port = __builtin_bswap16(choice->port);
  PortHistory& history = pool_.ports(choice->address).history(choice->port);
  if (history.flow.value != PortHistory::no_flow) {
    counters_.lingering_recycled.add();
    remove<Family>(history.flow);
  }
  if (flow.state() == FlowState::udp) {
    return std::nullopt;
  }
  // 64 ns steps: faster than any one connection sends, and half the number space outlasts TIME_WAIT.
  const std::uint64_t keyed = packet::hash(sequence_key_, flow.server_side());
  packet::Sequence initial{static_cast<std::uint32_t>(keyed + ((sequence_clock_ns_ + now_ns_) >> 6U))};
  const bool same_server = history.server == server_hash(key_, flow);
  if (same_server && !after(initial, history.end)) {
    initial = history.end + 1 + static_cast<std::uint32_t>(next_random() & 0xffffU);
  }
  flow.sequence_delta = distance(client_isn, initial);
  return std::nullopt;
}

// Returns the flow's local port, if it has one, with what the next user of the port must know.
template <class Family>
void Balancer::give_back_port(const Flow<Family>& flow, std::uint32_t lingering_flow) {
  if (flow.mode() != service::Mode::fullnat || flow.local_port == 0) {
    return;
  }
  const auto place = pool_.find(to_service(flow.local));
  if (!place) {
    return;
  }
  const std::uint16_t port = __builtin_bswap16(flow.local_port);
  LocalPorts& ports = pool_.ports(*place);
  PortHistory& history = ports.history(port);
  history.flow.value = lingering_flow;
  ports.release(port);
  if (flow.state() == FlowState::udp) {
    return;  // has no numbers: what the last TCP connection left stays true
  }
  history.end = later_of(flow.client_sequence_end + flow.sequence_delta, flow.server_acknowledgment);
  history.server = server_hash(key_, flow);
}

template Verdict Balancer::refuse<packet::Ipv4>(const packet::PacketView&, DropReason);
template Verdict Balancer::refuse<packet::Ipv6>(const packet::PacketView&, DropReason);
template Verdict Balancer::on_miss<packet::Ipv4>(packet::PacketView&, Opening<packet::Ipv4>&);
template Verdict Balancer::on_miss<packet::Ipv6>(packet::PacketView&, Opening<packet::Ipv6>&);
template Verdict Balancer::finish<packet::Ipv4>(packet::PacketView&, Opening<packet::Ipv4>&);
template Verdict Balancer::finish<packet::Ipv6>(packet::PacketView&, Opening<packet::Ipv6>&);
template Verdict Balancer::decide_for<packet::Ipv4>(packet::PacketView&, service::WorkerId);
template Verdict Balancer::decide_for<packet::Ipv6>(packet::PacketView&, service::WorkerId);
template Verdict Balancer::open_decided<packet::Ipv4>(packet::PacketView&, service::BackendId);
template Verdict Balancer::open_decided<packet::Ipv6>(packet::PacketView&, service::BackendId);
template const service::Listener* Balancer::listener_of<packet::Ipv4>(const packet::Tuple<packet::Ipv4>&) const;
template const service::Listener* Balancer::listener_of<packet::Ipv6>(const packet::Tuple<packet::Ipv6>&) const;
template Verdict Balancer::without_flow<packet::Ipv4>(const packet::PacketView&);
template Verdict Balancer::without_flow<packet::Ipv6>(const packet::PacketView&);
template void Balancer::describe<packet::Ipv4>(const packet::Tuple<packet::Ipv4>&, const service::Listener&,
                                               std::size_t, Opening<packet::Ipv4>&);
template void Balancer::describe<packet::Ipv6>(const packet::Tuple<packet::Ipv6>&, const service::Listener&,
                                               std::size_t, Opening<packet::Ipv6>&);
template bool Balancer::reserve_flow<packet::Ipv4>(bool);
template bool Balancer::reserve_flow<packet::Ipv6>(bool);
template void Balancer::count_connection<packet::Ipv4>(const Opening<packet::Ipv4>&, bool);
template void Balancer::count_connection<packet::Ipv6>(const Opening<packet::Ipv6>&, bool);
template bool Balancer::free_tuple<packet::Ipv4>(const packet::Tuple<packet::Ipv4>&, std::uint64_t);
template bool Balancer::free_tuple<packet::Ipv6>(const packet::Tuple<packet::Ipv6>&, std::uint64_t);
template std::optional<service::WorkerId> Balancer::owner_of_unknown<packet::Ipv4>(
    const packet::Tuple<packet::Ipv4>&) const;
template std::optional<service::WorkerId> Balancer::owner_of_unknown<packet::Ipv6>(
    const packet::Tuple<packet::Ipv6>&) const;
template void Balancer::give_back_port<packet::Ipv4>(const Flow<packet::Ipv4>&, std::uint32_t);
template void Balancer::give_back_port<packet::Ipv6>(const Flow<packet::Ipv6>&, std::uint32_t);

}  // namespace steelyard::l4

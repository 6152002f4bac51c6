// Connections that are taken over in their middle. With a scheduler by hash the server follows from the client and the
// configuration alone. So when a process has lost its flows, or another node has got the address, the next packet of
// either side makes the flow anew, and the connection goes on. Not with full NAT, whose local port and sequence numbers
// are lost with the flow.
//
// Everybody can send what looks like the middle of a connection. Until the other side has spoken about the same data
// (confirms_adoption) such a flow is half-open: it counts into the quarter of the table that those may have, is the
// first to give way, and ends after ten seconds without a reset, since the connection may be real and only one side
// have anything to say. What is flooded so reaches a server, as with SYNs, and a server that knows nothing of it ends
// it by its reset. Where servers answer past us (`dr`, `tunnel`) there is no other side to hear: the client's next
// segment that goes on where the first one was must do, as its acknowledgment of a SYN-ACK must.
#include "dataplane/l4/balancer.h"
#include "dataplane/l4/client_key.h"
#include "dataplane/l4/tcp_tracker.h"

namespace steelyard::l4 {
namespace {

using packet::DropReason;

// All segments after the SYN acknowledge something (RFC 9293 section 3.10.7.4).
bool is_mid_stream(const packet::PacketView& view) {
  using namespace packet::tcp_flag;
  return view.protocol == packet::protocol_tcp && (view.tcp_flags & (syn | rst | ack)) == ack;
}

bool can_adopt(const service::Listener& listener) {
  return listener.running && listener.mode != service::Mode::fullnat && service::by_hash(listener.scheduler);
}

}  // namespace

// The server that a connection of the client has, as far as that can be told. Nothing: nobody is usable.
template <class Family>
std::optional<std::size_t> Balancer::server_by_hash(const service::Listener& listener,
                                                    const packet::Tuple<Family>& client_side) {
  if (listener.persistence_timeout.count() != 0) {
    const auto known = persistent_server(listener, to_service(client_side.source), owner_of(client_side.source, 0));
    if (known) {
      return known;
    }
  }
  return scheduler_of(listener).pick(listener, load(), key_of(listener, client_side));
}

template <class Family>
Verdict Balancer::adopt_from_client(packet::PacketView& view, const service::Listener& listener,
                                    Opening<Family>& opening) {
  const auto tuple = view.tuple<Family>();
  const service::Address source = to_service(tuple.source);
  if (!is_mid_stream(view) || !can_adopt(listener)) {
    return without_flow<Family>(view);
  }
  if (pool_.find(source) || own_addresses_.contains(source) || snapshot_->vips->contains(source)) {
    return Verdict::dropped(DropReason::ip_source_bad);
  }
  const auto server = server_by_hash<Family>(listener, tuple);
  return server ? adopt<Family>(view, tuple, listener, *server, Side::client, opening) : without_flow<Family>(view);
}

// A server's packet names the client and not the listener. Where that is not clear, or the client would have another
// server now, the packet is dropped without a reset: the client's next one may tell.
template <class Family>
Verdict Balancer::adopt_from_server(packet::PacketView& view, Opening<Family>& opening) {
  const auto tuple = view.tuple<Family>();
  const service::Address client = to_service(tuple.destination);
  const service::VipKey server{to_service(tuple.source), __builtin_bswap16(tuple.source_port),
                               static_cast<service::Protocol>(tuple.protocol)};
  if (!is_mid_stream(view) || !snapshot_->hashed_servers->contains(server) || pool_.find(client) ||
      snapshot_->vips->contains(client)) {
    return without_flow<Family>(view);
  }
  const auto id = snapshot_->hashed_listeners->find(server);
  const service::Listener* listener = id ? snapshot_->find(*id) : nullptr;
  if (listener == nullptr) {
    return Verdict::dropped(DropReason::no_flow);
  }
  if (is_shut_out(*listener, client)) {
    return Verdict::dropped(DropReason::access_denied);
  }
  if (!can_adopt(*listener)) {
    return without_flow<Family>(view);
  }
  const packet::Tuple<Family> client_side{tuple.destination, from_service<Family>(listener->key.address),
                                          tuple.destination_port, __builtin_bswap16(listener->key.port),
                                          tuple.protocol};
  const auto place = server_by_hash<Family>(*listener, client_side);
  const bool agreed =
      place && listener->servers[*place].address == server.address && listener->servers[*place].port == server.port;
  return agreed ? adopt<Family>(view, client_side, *listener, *place, Side::server, opening)
                : Verdict::dropped(DropReason::no_flow);
}

template <class Family>
Verdict Balancer::adopt(packet::PacketView& view, const packet::Tuple<Family>& client_side,
                        const service::Listener& listener, std::size_t server, Side from, Opening<Family>& opening) {
  if (view.l3[Family::ttl_offset] <= 1) {
    return Verdict::dropped(DropReason::ttl_expired);
  }
  if (has_too_many(listener, to_service(client_side.source))) {
    return Verdict::dropped(DropReason::source_connections_exceeded);
  }
  describe<Family>(client_side, listener, server, opening);
  Flow<Family>& flow = opening.flow;
  flow.set_state(from == Side::client ? FlowState::adopted_from_client : FlowState::adopted_from_server);
  flow.local = flow.client;
  flow.local_port = flow.client_port;
  opening.from = from;
  opening.client_hash = table<Family>().hash_of(flow.client_side());
  opening.server_hash = flow.one_sided() ? opening.client_hash : table<Family>().hash_of(flow.server_side());
  // Before anything gives way to it: a client that has another server is not this server's.
  if (!both_sides_free<Family>(opening)) {
    return Verdict::dropped(DropReason::no_flow);
  }
  const service::Address towards = way_to(flow, opposite(from));
  const auto hop = next_hop(towards);
  if (!hop) {
    return Verdict::dropped(why_no_hop(towards));
  }
  opening.hop = *hop;
  if (!reserve_flow<Family>(true)) {
    return Verdict::dropped(DropReason::flow_table_full);
  }
  const Segment segment = Segment::of(view);
  flow.one_sided() ? remember_one_sided_first_seen(flow, segment) : remember_first_seen(flow, from, segment);
  count_connection<Family>(opening, true);
  return {.kind = Verdict::Kind::opening};
}

// Nobody else has a tuple of the flow, and there is no other server to go to.
template <class Family>
bool Balancer::both_sides_free(const Opening<Family>& opening) {
  const Flow<Family>& flow = opening.flow;
  return free_tuple<Family>(flow.client_side(), opening.client_hash) &&
         (flow.one_sided() ||
          (!(flow.server == flow.client) && free_tuple<Family>(flow.server_side(), opening.server_hash)));
}

template Verdict Balancer::adopt_from_client<packet::Ipv4>(packet::PacketView&, const service::Listener&,
                                                           Opening<packet::Ipv4>&);
template Verdict Balancer::adopt_from_client<packet::Ipv6>(packet::PacketView&, const service::Listener&,
                                                           Opening<packet::Ipv6>&);
template Verdict Balancer::adopt_from_server<packet::Ipv4>(packet::PacketView&, Opening<packet::Ipv4>&);
template Verdict Balancer::adopt_from_server<packet::Ipv6>(packet::PacketView&, Opening<packet::Ipv6>&);
template bool Balancer::both_sides_free<packet::Ipv4>(const Opening<packet::Ipv4>&);
template bool Balancer::both_sides_free<packet::Ipv6>(const Opening<packet::Ipv6>&);

}  // namespace steelyard::l4

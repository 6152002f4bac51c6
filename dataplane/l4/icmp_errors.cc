// ICMP errors about packets of flows. An error quotes a packet as we sent it; its sender knows that packet as it was
// before. So the quote is turned back, and the error goes to the sender as if it came from where the sender sent to
// (RFC 5508 section 4; RFC 792, RFC 4443 section 2.4 c: a host finds its connection by the quote).
#include "dataplane/l4/balancer.h"
#include "dataplane/l4/rewrite.h"
#include "dataplane/packet/icmp_error.h"

namespace steelyard::l4 {
namespace {

using packet::DropReason;

// TCP numbers that full NAT has moved, as far as they are quoted.
template <class Family>
void restore_numbers(const packet::IcmpQuote& quote, const Flow<Family>& flow, Side sender,
                     packet::ChecksumDelta& checksum) {
  if (sender == Side::client) {
    std::uint32_t back = 0U - flow.sequence_delta;
    if (flow.state() == FlowState::header_sent) {
      // About a segment of ours that the client has not sent: about its first byte, then.
      const packet::Sequence sent{__builtin_bswap32(packet::load<std::uint32_t>(quote.l4 + 4))};
      back += after(header_end(flow), sent) ? distance(sent, header_end(flow)) : 0U;
    }
    shift_number(quote.l4, quote.l4 + 4, back, checksum);
    return;
  }
  const bool acknowledges = quote.l4_quoted < 14 || (quote.l4[13] & packet::tcp_flag::ack) != 0;
  if (quote.l4_quoted >= 12 && acknowledges) {
    shift_number(quote.l4, quote.l4 + 8, flow.sequence_delta, checksum);
  }
}

// What rewrite() has done to the quoted packet, undone. The hop limit stays as it was quoted.
template <class Family>
void restore_quote(const packet::IcmpQuote& quote, const Flow<Family>& flow, Side sender) {
  const auto new_addresses = flow.addresses_from(sender);
  const std::uint32_t new_ports = flow.ports_from(sender);
  packet::ChecksumDelta header;
  header.replace(packet::AddressPair<Family>::of(quote.l3), new_addresses);
  packet::ChecksumDelta segment = header;
  segment.replace(packet::load<std::uint32_t>(quote.l4), new_ports);
  packet::store(quote.l3 + Family::source_offset, new_addresses);
  packet::store(quote.l4, new_ports);
  if constexpr (!Family::is_v6) {
    packet::store(quote.l3 + 10, header.apply(packet::load<std::uint16_t>(quote.l3 + 10)));
  }
  if (quote.protocol == packet::protocol_tcp) {
    if (flow.sequence_delta != 0) {
      restore_numbers(quote, flow, sender, segment);
    }
    if (quote.l4_quoted >= 18) {
      packet::store(quote.l4 + 16, segment.apply(packet::load<std::uint16_t>(quote.l4 + 16)));
    }
    return;
  }
  if (const auto checksum = packet::load<std::uint16_t>(quote.l4 + 6); checksum != 0) {
    const std::uint16_t updated = segment.apply(checksum);
    packet::store(quote.l4 + 6, updated == 0 ? std::uint16_t{0xffff} : updated);
  }
}

// The error's own addresses. The client knows the service alone; with full NAT the server knows only us.
template <class Family>
void address_error(packet::PacketView& view, const Flow<Family>& flow, Side sender) {
  if (sender == Side::client) {
    packet::store(view.l3 + Family::source_offset, flow.vip);
    packet::store(view.l3 + Family::destination_offset, flow.client);
  } else {
    if (flow.mode() == service::Mode::fullnat) {
      packet::store(view.l3 + Family::source_offset, flow.local);
    }
    packet::store(view.l3 + Family::destination_offset, flow.server);
  }
  --view.l3[Family::ttl_offset];
  if constexpr (!Family::is_v6) {
    const std::span<std::uint8_t> header(view.l3, view.l4);
    packet::store(view.l3 + 10, std::uint16_t{0});
    packet::store(view.l3 + 10, packet::ipv4_header_checksum(header));
  }
}

}  // namespace

// The worker that has the flow of a quoted packet, if anybody has it: of one to a client, of one to a server that
// answers past us, of one to another server. What ends here is no flow.
template <class Family>
std::optional<service::WorkerId> Balancer::owner_of_error(const packet::Tuple<Family>& sent) const {
  if (const service::Listener* listener = listener_of<Family>(sent.reversed()); listener != nullptr) {
    return listener->http != nullptr ? std::nullopt : std::optional(owner_of(sent.destination, sent.destination_port));
  }
  if (ends_at_local_port<Family>(sent.reversed()) || ends_at_former_listener<Family>(sent.reversed())) {
    return std::nullopt;
  }
  // The listener may have had another mode, or have been removed, since the flow began.
  if (listener_of<Family>(sent) != nullptr ||
      snapshot_->former_listeners->contains({to_service(sent.destination), __builtin_bswap16(sent.destination_port),
                                             static_cast<service::Protocol>(sent.protocol)})) {
    return owner_of(sent.source, sent.source_port);
  }
  return owner_of_unknown<Family>(sent.reversed());
}

// An error about a packet of a one-sided flow goes as it is to who has sent that: it quotes it as its sender knows it.
template <class Family>
Verdict Balancer::pass_error(const packet::PacketView& view, const Flow<Family>& flow, Side towards) {
  if (view.l3[Family::ttl_offset] <= 1) {
    return Verdict::dropped(DropReason::ttl_expired);
  }
  const service::Address way = way_to(flow, towards);
  const auto hop = next_hop(way);
  if (!hop) {
    return Verdict::dropped(why_no_hop(way));
  }
  counters_.errors_translated.add();
  return send_on(view, flow, opposite(towards), *hop);
}

// May the error's source stay, on its way to `receiver`? Not one of ours, nor the receiver's own.
template <class Family>
bool Balancer::is_foreign(const packet::PacketView& error, const typename Family::Address& receiver) const {
  const auto address = error.source<Family>();
  const service::Address source = to_service(address);
  return !(address == receiver) && !source.is_unspecified() && !pool_.find(source) &&
         !own_addresses_.contains(source) && !snapshot_->vips->contains(source);
}

template <class Family>
Verdict Balancer::translate_error(packet::PacketView& view) {
  if (learn_path_mtu<Family>(view)) {
    return {.kind = Verdict::Kind::consumed};
  }
  const auto quote = packet::quote_in<Family>(view);
  if (!quote) {
    return {.kind = Verdict::Kind::unclaimed};
  }
  // The flow is found by what the quoted packet's receiver would answer with.
  const packet::Tuple<Family> sent = quote->template tuple<Family>();
  if (!(view.destination<Family>() == sent.source)) {
    return {.kind = Verdict::Kind::unclaimed};  // whoever made it was not asked by the quoted packet
  }
  const packet::Tuple<Family> answer = sent.reversed();
  const auto hit = table<Family>().find(answer, table<Family>().hash_of(answer));
  if (!hit) {
    const auto own = table<Family>().find(sent, table<Family>().hash_of(sent));
    if (own && table<Family>()[own->flow].one_sided()) {
      return pass_error<Family>(view, table<Family>()[own->flow], Side::client);
    }
    const auto owner = owner_of_error<Family>(sent);
    if (!owner) {
      return {.kind = Verdict::Kind::unclaimed};
    }
    return *owner == worker_ ? Verdict::dropped(DropReason::no_flow) : Verdict::handed_off(*owner);
  }
  Flow<Family>& flow = table<Family>()[hit->flow];
  if (flow.one_sided()) {
    return pass_error<Family>(view, flow, Side::server);  // about an answer, which did not pass us
  }
  const Side sender = opposite(hit->side);
  if (sender == Side::server && flow.mode() == service::Mode::nat && !is_foreign<Family>(view, flow.server)) {
    return Verdict::dropped(DropReason::ip_source_bad);
  }
  if (view.l3[Family::ttl_offset] <= 1) {
    return Verdict::dropped(DropReason::ttl_expired);
  }
  const neighbor::HopIndex hop = hop_of<Family>(flow, sender);
  if (hop == neighbor::HopIndex{}) {
    return Verdict::dropped(why_no_hop(way_to(flow, sender)));
  }
  restore_quote(*quote, flow, sender);
  address_error(view, flow, sender);
  packet::write_icmp_checksum<Family>(view);
  counters_.errors_translated.add();
  return Verdict::forwarded(hop);
}

template Verdict Balancer::translate_error<packet::Ipv4>(packet::PacketView&);
template Verdict Balancer::translate_error<packet::Ipv6>(packet::PacketView&);

}  // namespace steelyard::l4

// Telling the servers of full NAT who the client is: by an option in the client's first segments, or by a PROXY header
// in front of what the client sends, which is a segment of our own and is repeated until the server has acknowledged
// it. Nothing here is asked in the middle of a connection.
#include "dataplane/l4/balancer.h"
#include "dataplane/l4/client_option.h"
#include "dataplane/l4/proxy_header.h"

namespace steelyard::l4 {
namespace {

// The window of a repeated header, in units that nobody remembers. Small enough for any client, and it does not count:
// what the client itself has sent since has later numbers (RFC 9293 section 3.10.7.4, SND.WL1).
constexpr std::uint16_t repeated_window = 128;

}  // namespace

// A segment of a flow whose server is to be told the client's address, or has not acknowledged it, as tracking is to
// see it; the packet itself becomes what the other side is to see of it, apart from rewriting. `changed` is a change of
// its checksum.
template <class Family>
Segment Balancer::read_told(packet::PacketView& view, const Flow<Family>& flow, Side from,
                            packet::ChecksumDelta& changed) {
  using service::ClientAddress;
  const ClientAddress owed = flow.owed_address();
  const bool opens = (view.tcp_flags & packet::tcp_flag::syn) != 0;
  if (from == Side::client && opens && owed == ClientAddress::proxy_v2) {
    cut_syn_data<Family>(view);
  }
  const Segment segment = Segment::of(view);
  if (from == Side::client || !segment.has(packet::tcp_flag::ack)) {
    return segment;
  }
  if (owed == ClientAddress::proxy_v2) {
    lower_window(view.l4, proxy_header_size<Family>, changed);
  } else if (opens && owed == ClientAddress::toa) {
    reduce_segment_size(view.l4, client_option_size<Family>, changed);
  } else if (flow.state() == FlowState::header_sent) {
    hide_header(view.l4, header_end(flow), changed);
  }
  return segment;
}

// The client has acknowledged the server's SYN. A header goes first, and what the client sends has its numbers behind
// it from now on, this segment included.
template <class Family>
void Balancer::begin_telling(FlowIndex index, FlowState next, const packet::PacketView& view, const Segment& segment) {
  Flow<Family>& flow = table<Family>()[index];
  flow.set_first_fin(segment.has(packet::tcp_flag::fin) ? first_fin_of(Side::client) : 0U);
  change_state<Family>(index, next, Side::client);
  if (next != FlowState::header_sent) {
    return;
  }
  flow.sequence_delta += proxy_header_size<Family>;
  if (send_header<Family>(flow, packet::load_be16(view.l4 + 14))) {
    counters_.proxy_headers_sent.add();
  }
}

// A client's segment, rewritten, of a flow whose server has acknowledged no data: it gets the option if it begins where
// the data do, as the last one of the handshake, the first one with data and their repetitions. Returns by how many
// bytes the frame has grown.
template <class Family>
std::uint8_t Balancer::tell_by_option(packet::PacketView& view, const Flow<Family>& flow, neighbor::HopIndex hop) {
  using namespace packet::tcp_flag;
  if ((view.tcp_flags & (syn | rst)) != 0 || Segment::of(view).sequence != flow.server_acknowledgment) {
    return 0;
  }
  constexpr std::uint8_t size = client_option_size<Family>;
  if (!has_option_room<Family>(view) || view.l3_length + size > port_mtus_[neighbors_[hop].port]) {
    counters_.client_options_no_room.add();
    return 0;
  }
  insert_client_option(view, flow);
  counters_.client_options_sent.add();
  return size;
}

// False: it could not be sent now; its repetition is as good.
template <class Family>
bool Balancer::send_header(Flow<Family>& flow, std::uint16_t window) {
  const neighbor::HopIndex hop = hop_of<Family>(flow, Side::server);
  if (hop == neighbor::HopIndex{}) {
    return false;
  }
  const auto header = proxy_header(flow);
  const packet::TcpControl<Family> segment{flow.server_side().reversed(),
                                           flow.server_acknowledgment,
                                           flow.client_acknowledgment,
                                           packet::tcp_flag::psh | packet::tcp_flag::ack,
                                           window,
                                           header};
  std::array<std::uint8_t, Family::header_size + packet::tcp_header_size + header.size()> room;
  const std::size_t length = packet::build_tcp_control<Family>(room, segment);
  return output_.send_built(std::span(room).first(length), Family::is_v6, hop);
}

// The header has been under way for `waited` ticks: repeats it, and says after how many to come again. 0: no more, the
// flow is to end.
template <class Family>
std::uint32_t Balancer::repeat_header(FlowIndex index, std::uint32_t waited) {
  if (waited >= header_patience_ticks) {
    counters_.proxy_headers_unanswered.add();
    return 0;
  }
  if (send_header<Family>(table<Family>()[index], repeated_window)) {
    counters_.proxy_headers_repeated.add();
  }
  return waited + first_repetition_ticks;  // each time twice as long as before: what has passed, and the first again
}

// A client's reset ends a flow whose header may be lost. It has the number behind the header; for a server that waits
// for the header only the number of its beginning is exact (RFC 5961 section 3.2), and it would go on waiting while
// nobody watches what the client sends (precedes_header()).
template <class Family>
void Balancer::reset_headless(const Flow<Family>& flow) {
  send_reset<Family>({flow.server_side().reversed(), flow.server_acknowledgment, {}, packet::tcp_flag::rst},
                     to_service(flow.server));
}

template Segment Balancer::read_told<packet::Ipv4>(packet::PacketView&, const Flow<packet::Ipv4>&, Side,
                                                   packet::ChecksumDelta&);
template Segment Balancer::read_told<packet::Ipv6>(packet::PacketView&, const Flow<packet::Ipv6>&, Side,
                                                   packet::ChecksumDelta&);
template void Balancer::begin_telling<packet::Ipv4>(FlowIndex, FlowState, const packet::PacketView&, const Segment&);
template void Balancer::begin_telling<packet::Ipv6>(FlowIndex, FlowState, const packet::PacketView&, const Segment&);
template std::uint8_t Balancer::tell_by_option<packet::Ipv4>(packet::PacketView&, const Flow<packet::Ipv4>&,
                                                             neighbor::HopIndex);
template std::uint8_t Balancer::tell_by_option<packet::Ipv6>(packet::PacketView&, const Flow<packet::Ipv6>&,
                                                             neighbor::HopIndex);
template std::uint32_t Balancer::repeat_header<packet::Ipv4>(FlowIndex, std::uint32_t);
template std::uint32_t Balancer::repeat_header<packet::Ipv6>(FlowIndex, std::uint32_t);
template void Balancer::reset_headless<packet::Ipv4>(const Flow<packet::Ipv4>&);
template void Balancer::reset_headless<packet::Ipv6>(const Flow<packet::Ipv6>&);

}  // namespace steelyard::l4

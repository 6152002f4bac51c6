// TCP that ends on this worker: on its way to and from the host (tcp_host.h).
#include "dataplane/tcp/wire.h"
#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

service::Address destination_of(const packet::PacketView& view) {
  return view.is_v6 ? service::Address::from_v6(view.destination<packet::Ipv6>().bytes())
                    : service::Address::from_v4(view.destination<packet::Ipv4>().bytes());
}

}  // namespace

void Worker::expect_terminated(std::span<const Pending> burst) const {
  std::array<const packet::PacketView*, burst_size> views;
  std::size_t count = 0;
  for (const Pending& pending : burst) {
    const packet::PacketView& view = pending.view;
    // Packets of flows are layer 4's, and cost no look at what ends here.
    if (view.kind == packet::PacketKind::l4 && pending.candidate == l4::Balancer::no_candidate &&
        is_terminated(view, destination_of(view))) {
      views[count++] = &view;
    }
  }
  static_assert(burst_size <= tcp::Stack::most_at_once);
  if (count > 1) {
    tcp_->expect(std::span(views).first(count));
  }
}

// `listener`: of the client side, when layer 4 has found one.
void Worker::handle_terminated(rte_mbuf* packet, const packet::PacketView& view, std::uint16_t link,
                               service::ListenerId listener) {
  if (tcp_ == nullptr) {
    return drop(packet, packet::DropReason::unmatched);
  }
  if (const service::WorkerId owner = tcp_->owner_of(tcp::endpoints_of(view)); owner != id_) {
    note_of(packet).port = link;
    return hand_off(packet, owner, PacketNote::Purpose::yours);
  }
  take_terminated(packet, view, listener);
}

void Worker::take_terminated(rte_mbuf* packet, const packet::PacketView& view, service::ListenerId listener) {
  if (tcp_->must_give_way(view)) {
    return drop(packet, packet::DropReason::worker_overloaded);
  }
  if (TcpHost::is_first(view)) {
    if (const auto refused = refuse_client(view, listener)) {
      return drop(packet, *refused);
    }
  }
  if (!tcp_->receive(packet, view, now_ns_)) {
    return drop(packet, packet::DropReason::l4_checksum_bad);
  }
  packets_.consumed.add();
}

// A SYN that ends here, before anything is spent on it.
std::optional<packet::DropReason> Worker::refuse_client(const packet::PacketView& view, service::ListenerId id) {
  const service::Listener* listener = snapshot_->find(id);
  if (listener == nullptr) {
    return std::nullopt;
  }
  if ((listener->limits_clients() || !listener->running) && !tcp_->stack().is_new(tcp::endpoints_of(view))) {
    return std::nullopt;  // repeated: it has been let in, and counted
  }
  const auto refused = view.is_v6 ? balancer_.refuse_client<packet::Ipv6>(view, *listener)
                                  : balancer_.refuse_client<packet::Ipv4>(view, *listener);
  if (!refused) {
    tcp_->expect_client(*listener);
  }
  return refused;
}

bool Worker::take_terminated_error(rte_mbuf* packet, const packet::PacketView& error, std::uint16_t link) {
  const auto quoted = tcp_ != nullptr ? tcp_->quoted_in(error) : std::nullopt;
  if (!quoted) {
    return false;
  }
  if (const service::WorkerId owner = tcp_->owner_of(quoted->endpoints); owner != id_) {
    note_of(packet).port = link;
    hand_off(packet, owner, PacketNote::Purpose::yours);
    return true;
  }
  tcp_->receive_error(*quoted, error, now_ns_);
  packets_.consumed.add();
  rte_pktmbuf_free(packet);
  return true;
}

std::optional<neighbor::HopIndex> Worker::hop_to(const service::Address& destination) {
  return balancer_.next_hop(destination);
}

TcpHostOutput::Link Worker::link_of(neighbor::HopIndex hop) const {
  const PortLink& link = links_[neighbors_[hop].port];
  const nic::PortReport& report = link.port->report();
  // The place of the headers that a checksum needs is another one behind a tag.
  return {.takes_chains = report.multi_segment_tx,
          .computes_checksum = report.tx_checksum.tcp && link.vlan == 0,
          .mtu = link.mtu};
}

void Worker::send_segment(rte_mbuf* packet, neighbor::HopIndex hop) {
  packets_.generated.add();
  release(packet, hop);
}

}  // namespace steelyard::worker

// Every reason for which a worker lets a packet go, by name: the exact accounting (received = forwarded + consumed +
// sum of named drops) stands on this list. A reason is named after what was wrong, never after the function that saw
// it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace steelyard::packet {

enum class DropReason : std::uint8_t {
  // The frame itself.
  frame_too_short,
  ethertype_unsupported,
  vlan_unknown,   // tagged for a VLAN that no port has, or tagged twice
  not_for_us,     // a unicast frame for another MAC address
  ip_header_bad,  // version, header length or total length impossible
  ip_checksum_bad,
  ip_source_bad,         // multicast, broadcast, loopback, unspecified or IPv4-mapped source
  ip_options_forbidden,  // source routes and IPv6 routing headers
  ttl_expired,
  land_attack,      // source address = destination address
  l4_header_bad,    // TCP or UDP header does not fit, lengths disagree
  l4_checksum_bad,  // of TCP that ends here; what is forwarded is judged by its receiver
  tcp_flags_impossible,
  port_zero,
  arp_malformed,
  ndp_malformed,
  icmp_unsupported,
  // Fragments (l4/fragment_table.h).
  fragment_malformed,      // empty, no multiple of eight bytes, or beyond 65,535
  fragment_too_small,      // a first one without the whole header of layer 4
  fragment_overlap,        // overlaps or contradicts another one of its datagram; all that follow go the same way
  fragment_duplicate,      // has been here before
  fragment_first_dropped,  // the datagram's first fragment was not forwarded
  fragment_queue_full,     // too many came before the first one
  fragment_timed_out,      // the first one did not come
  fragment_replaced,       // waited for its first one, and gave way to newer datagrams
  // No place to send it.
  unmatched,              // no listener, no flow, not ours
  no_flow,                // mid-stream packet without a flow
  precedes_proxy_header,  // a client's segment before our PROXY header, or with numbers of it
  reply_is_reset,         // a RST without a flow is never answered
  access_denied,          // the listener's access list does not let the source in
  listener_stopped,
  connection_rate_exceeded,     // of the listener
  source_connections_exceeded,  // of one source at the listener
  source_rate_exceeded,
  no_usable_server,
  connection_limit_reached,   // every usable server has its `max_connections`
  connection_permit_missing,  // a server has room, but its permit is another worker's; it is here for the next try
  flow_table_full,
  local_ports_exhausted,
  reverse_tuple_collision,
  no_route,
  neighbor_queue_full,
  neighbor_unreachable,
  neighbor_table_full,
  frame_exceeds_mtu,
  // Rates and queues.
  bandwidth_exceeded,  // more for clients than the listener's `bandwidth`
  answer_rate_limited,
  worker_overloaded,  // a SYN to TCP that ends here, while the worker could not keep up
  no_buffer,
  handoff_ring_full,
  tx_ring_full,
  kernel_ring_full,
  kernel_rate_limited,
  kernel_absent,  // for the kernel, but the port has no exception interface
  reassigned,     // the packet's worker changed twice: its owner cannot be told
  count_,
};

inline constexpr std::size_t drop_reasons = static_cast<std::size_t>(DropReason::count_);

// The reason's name as `steelyard stats` and the metrics print it. Any thread.
[[nodiscard]] constexpr std::string_view name(DropReason reason) {
  constexpr std::array<std::string_view, drop_reasons> names{"frame_too_short",
                                                             "ethertype_unsupported",
                                                             "vlan_unknown",
                                                             "not_for_us",
                                                             "ip_header_bad",
                                                             "ip_checksum_bad",
                                                             "ip_source_bad",
                                                             "ip_options_forbidden",
                                                             "ttl_expired",
                                                             "land_attack",
                                                             "l4_header_bad",
                                                             "l4_checksum_bad",
                                                             "tcp_flags_impossible",
                                                             "port_zero",
                                                             "arp_malformed",
                                                             "ndp_malformed",
                                                             "icmp_unsupported",
                                                             "fragment_malformed",
                                                             "fragment_too_small",
                                                             "fragment_overlap",
                                                             "fragment_duplicate",
                                                             "fragment_first_dropped",
                                                             "fragment_queue_full",
                                                             "fragment_timed_out",
                                                             "fragment_replaced",
                                                             "unmatched",
                                                             "no_flow",
                                                             "precedes_proxy_header",
                                                             "reply_is_reset",
                                                             "access_denied",
                                                             "listener_stopped",
                                                             "connection_rate_exceeded",
                                                             "source_connections_exceeded",
                                                             "source_rate_exceeded",
                                                             "no_usable_server",
                                                             "connection_limit_reached",
                                                             "connection_permit_missing",
                                                             "flow_table_full",
                                                             "local_ports_exhausted",
                                                             "reverse_tuple_collision",
                                                             "no_route",
                                                             "neighbor_queue_full",
                                                             "neighbor_unreachable",
                                                             "neighbor_table_full",
                                                             "frame_exceeds_mtu",
                                                             "bandwidth_exceeded",
                                                             "answer_rate_limited",
                                                             "worker_overloaded",
                                                             "no_buffer",
                                                             "handoff_ring_full",
                                                             "tx_ring_full",
                                                             "kernel_ring_full",
                                                             "kernel_rate_limited",
                                                             "kernel_absent",
                                                             "reassigned"};
  return names[static_cast<std::size_t>(reason)];
}

}  // namespace steelyard::packet

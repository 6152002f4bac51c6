// What a worker counts about packets, so that none goes missing:
//
//   received + from_kernel + handed_in + relayed_in + generated
//     = transmitted + to_kernel + handed_out + relayed_out + consumed + sum of drops + waiting
//
// holds whenever the worker is between two turns. Written by the worker alone, read by control.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "dataplane/packet/drop_reason.h"
#include "dataplane/service/counter.h"

namespace steelyard::worker {

struct PacketCounters {
  // In.
  service::Counter received;     // from a port's receive queue
  service::Counter from_kernel;  // from an exception interface
  service::Counter handed_in;    // from another worker, for us to decide
  service::Counter relayed_in;   // from another worker, finished, for a port whose queue is ours
  service::Counter generated;    // made by this worker: ARP, ND, RST, ICMP
  // Out.
  service::Counter transmitted;
  service::Counter to_kernel;
  service::Counter handed_out;
  service::Counter relayed_out;
  service::Counter consumed;  // served their purpose here: neighbour messages that were copied to this worker
  std::array<service::Counter, packet::drop_reasons> drops;
  service::Gauge waiting;  // for a next hop to be resolved, or for their datagram's first fragment
  // Of which.
  service::Counter forwarded;            // layer-4 packets of flows that were sent on
  service::Counter fragments_forwarded;  // of these, fragments
  service::Gauge datagrams_tracked;      // that fragments have come of
  service::Counter echo_replies;
  service::Counter too_big_sent;       // ICMP errors about packets that do not fit the next link
  service::Counter split;              // packets that were sent on in pieces
  service::Counter address_conflicts;  // somebody else claims a VIP or a local address
};

// How long loop turns took, and what share of time had work in it.
struct TurnCounters {
  static constexpr std::size_t buckets = 24;
  std::array<service::Counter, buckets> nanoseconds;  // [i]: turns with work of 2^i to 2^(i+1)-1 ns
  service::Counter idle_turns;
  service::Counter pauses;  // between turns, to let packets gather (Coalescing)
  service::Counter busy_ns;
  service::Counter longest_ns;

  void record(std::uint64_t ns) {
    const auto bucket = static_cast<std::size_t>(std::bit_width(ns | 1U) - 1);
    nanoseconds[bucket < buckets ? bucket : buckets - 1].add();
    busy_ns.add(ns);
    if (ns > longest_ns.get()) {
      longest_ns.set(ns);
    }
  }
};

}  // namespace steelyard::worker

// What one worker writes behind a packet for the next one that gets it: the private area of the mbuf.
#pragma once

#include <cstdint>

#include <rte_mbuf.h>

#include "dataplane/nic/pools.h"

namespace steelyard::worker {

struct PacketNote {
  enum class Purpose : std::uint8_t {
    yours,             // its flow is yours
    choose_server,     // you are the client's home: choose, and send it back to `from`
    server_chosen,     // the home's answer: `backend`
    datagram_home,     // a fragment, and you are the home of its datagram
    neighbor_message,  // a copy of an ARP or ND message that `port` received
  };
  Purpose purpose;
  std::uint8_t hops;  // hand-offs so far: a packet never circles
  std::uint16_t from;
  std::uint16_t port;
  std::uint8_t copied;  // while somebody watches: bits of the taps that were shown it already
  std::uint32_t backend;
};
static_assert(sizeof(PacketNote) <= nic::packet_private_size);

[[nodiscard]] inline PacketNote& note_of(rte_mbuf* packet) {
  return *static_cast<PacketNote*>(rte_mbuf_to_priv(packet));
}

}  // namespace steelyard::worker

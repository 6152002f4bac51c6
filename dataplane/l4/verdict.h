// What a worker's balancer (balancer.h) says of a packet, and of a flow that is about to open. Plain values.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/l4/flow.h"
#include "dataplane/neighbor/neighbor_table.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::l4 {

// A flow between begin() and finish(): decided and counted, not in the table yet. `listener` is the snapshot's; `from`
// is the side whose packet it is.
template <class Family>
struct Opening {
  // Of the packets that come the other way.
  [[nodiscard]] std::uint64_t answer_hash() const { return from == Side::client ? server_hash : client_hash; }

  Flow<Family> flow;
  Side from;
  const service::Listener* listener;
  std::size_t server;  // place in the listener
  std::uint64_t client_hash;
  std::uint64_t server_hash;
  neighbor::HopIndex hop;
};

// What is to be done with a packet.
struct Verdict {
  enum class Kind : std::uint8_t {
    forward,     // rewritten; send it to `hop`
    opening,     // it opens a flow; finish() it
    drop,        // `reason`
    hand_off,    // it belongs to `worker`
    ask_home,    // `worker` decides which server the client gets, and returns the packet to us
    return_to,   // decided: `backend` is for the packet that `worker` sent us
    unclaimed,   // neither a flow nor a service of ours
    terminated,  // TCP that ends here, layer 7's: of a client of `listener`, or without one (0)
    split,       // rewritten; send it to `hop` in pieces of at most `mtu` bytes
    too_big,     // untouched; tell its sender that `mtu` bytes go on, and drop it
    consumed,    // it was for us, and has been read
  };
  Kind kind = Kind::drop;
  packet::DropReason reason = packet::DropReason::unmatched;
  neighbor::HopIndex hop = {};
  service::WorkerId worker = {};
  service::ListenerId listener = {};
  service::BackendId backend = {};
  std::uint16_t mtu = 0;
  std::uint8_t grown = 0;  // bytes by which the frame begins earlier than it did, at most most_grown

  static Verdict dropped(packet::DropReason reason) { return {.kind = Kind::drop, .reason = reason}; }
  static Verdict forwarded(neighbor::HopIndex hop) { return {.kind = Kind::forward, .hop = hop}; }
  static Verdict handed_off(service::WorkerId worker) { return {.kind = Kind::hand_off, .worker = worker}; }
};
static_assert(sizeof(Verdict) <= 16, "a larger one is returned in memory: 50 instructions a new flow");

// What forward_known() has done with a packet.
struct Forwarded {
  neighbor::HopIndex hop = {};  // 0: nothing
  std::uint8_t grown = 0;       // as in Verdict
};

// A server's place in the listener, or why there is none.
struct ServerChoice {
  std::optional<std::size_t> server;
  packet::DropReason refused = packet::DropReason::no_usable_server;
};

}  // namespace steelyard::l4

// Next hops of one worker: who is on the link, at which MAC address, and the packets that wait to learn it. Each worker
// has its own table and asks for itself; the worker that receives an answer passes it on to the others (worker/). So
// nothing here is shared, and a flow's cached hop is one array access.
//
// A hop that was ever reachable keeps its index for good (flows cache it); one that never answered is forgotten after
// its attempts, so that scanning or spoofed clients on the link cannot fill the table. Reachable hops are asked again
// by unicast every 30 s while in use (RFC 4861 section 6.3.2 and 7.3); after three silent seconds they fall back to
// broadcast and their packets wait again.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/neighbor/messages.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/packet/hash.h"

struct rte_mbuf;

namespace steelyard::neighbor {

// A next hop's place; 0 is none.
struct HopIndex {
  std::uint16_t value = 0;
  friend bool operator==(HopIndex, HopIndex) = default;
};

// Where a hop is: what transmission needs, 16 bytes.
struct Hop {
  MacAddress destination;
  MacAddress source;
  std::uint16_t port;  // place of the port in the configuration
  bool reachable;
  bool used;  // since the last tick: worth asking again
};
static_assert(sizeof(Hop) == 16);

// What the table asks of its worker. Called on the worker; slow path only.
class NeighborOutput {
 public:
  virtual ~NeighborOutput() = default;
  // Sends a whole frame that the table has built.
  virtual void send_frame(std::uint16_t port, std::span<const std::uint8_t> frame) = 0;
  // A waiting packet may go: its next hop is known.
  virtual void release(rte_mbuf* packet, HopIndex hop) = 0;
  // A waiting packet's next hop did not answer.
  virtual void give_up(rte_mbuf* packet, packet::DropReason reason) = 0;
};

// A port as neighbours see it: its MAC and the addresses that requests are sent from (one per prefix).
struct PortAddresses {
  struct OnLink {
    IpKey address;
    std::uint8_t prefix_length;  // in the 128-bit form: 96 + n for IPv4
  };
  MacAddress mac{};
  std::vector<OnLink> addresses;
};

struct NeighborLimits {
  std::size_t hops = 65'535;         // most entries; HopIndex is 16 bits
  std::size_t unresolved = 1'024;    // most entries that never answered
  std::size_t waiting_per_hop = 64;  // packets
  std::size_t waiting = 1'024;       // packets in all
};

class NeighborTable {
 public:
  using Nanoseconds = std::uint64_t;

  // Allocates everything it will ever need. `output` outlives the table.
  NeighborTable(std::vector<PortAddresses> ports, NeighborLimits limits, const packet::HashKey& key,
                NeighborOutput& output);

  // The hop for an on-link address, asked for when it is new. Nothing when the table is full.
  [[nodiscard]] std::optional<HopIndex> find(const IpKey& address, std::uint16_t port, Nanoseconds now);

  // The hop for the packet path. Its fields are right while `reachable`.
  [[nodiscard]] Hop& operator[](HopIndex hop) { return hops_[hop.value]; }
  [[nodiscard]] const Hop& operator[](HopIndex hop) const { return hops_[hop.value]; }

  // Takes a packet that waits for the hop, which is not reachable. False: the caller keeps it (queue full).
  [[nodiscard]] bool wait(HopIndex hop, rte_mbuf* packet);

  // Learns from a message that came in on a port; only entries that exist are changed (RFC 4861 section 7.2.5: "no
  // entry, no need to create one").
  void learn(const NeighborMessage& message, std::uint16_t port, Nanoseconds now);

  // Asks again and gives up; call every 50 ms or so. Bounded work: at most `budget` entries a call.
  void tick(Nanoseconds now, std::size_t budget = 256);

  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  static constexpr std::uint32_t no_packet = 0xffffffffU;
  struct Waiting {
    rte_mbuf* packet;
    std::uint32_t next;
  };
  struct Entry {
    IpKey address;
    Nanoseconds deadline = 0;  // when to ask (again)
    std::uint32_t first_waiting = no_packet;
    std::uint32_t last_waiting = no_packet;
    std::uint32_t next_in_bucket = 0;
    std::uint16_t waiting = 0;
    std::uint8_t attempts = 0;
    bool taken = false;
    bool pinned = false;  // was reachable once: flows may cache the index
  };

  [[nodiscard]] std::uint32_t& bucket_of(const IpKey& address, std::uint16_t port);
  [[nodiscard]] std::optional<HopIndex> find_existing(const IpKey& address, std::uint16_t port);
  void ask(HopIndex hop, Nanoseconds now);
  void resolved(HopIndex hop, const MacAddress& mac, Nanoseconds now);
  void forget(HopIndex hop, packet::DropReason reason);
  void drop_waiting(Entry& entry, packet::DropReason reason);
  [[nodiscard]] const IpKey* source_for(const IpKey& target, std::uint16_t port) const;

  std::vector<PortAddresses> ports_;
  NeighborLimits limits_;
  packet::HashKey key_;
  NeighborOutput& output_;
  std::vector<Hop> hops_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> buckets_;  // first entry of the chain, 0: none
  std::vector<std::uint16_t> free_;
  std::vector<Waiting> packets_;
  std::uint32_t free_packet_ = no_packet;
  std::size_t count_ = 0;
  std::size_t unresolved_ = 0;
  std::size_t waiting_ = 0;
  std::size_t used_ = 1;   // entries from here on were never taken
  std::size_t sweep_ = 1;  // where the next tick goes on
};

}  // namespace steelyard::neighbor

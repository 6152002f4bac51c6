// What a connection has to send and what has become of it: slices from the first unacknowledged octet to the last one
// that the application has given, and for each whether it is in flight, held by the peer (RFC 2018), or lost.
//
//   first_                          unsent_                   last_
//     | sent, sacked, lost, ...       | not sent yet            |
//     +---+---+---+---+---+---+---+---+---+---+---+---+---+---+---+
//   una                              nxt                       end
//
// A segment is a run of nodes; one that is too long is cut in two that share the buffer. So retransmission copies
// nothing and may cut anew when the path has become narrower. SACK marks whole nodes only: what a peer reports in odd
// pieces costs us no memory. A FIN is a node without payload. The sums below are kept with every change, never counted
// anew.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/options.h"

namespace steelyard::tcp {

// A segment of more slices than this is cut short: transmit descriptors have limits (e.g. 40 on Intel's, 16 on some).
inline constexpr std::size_t max_slices = 16;

// One segment's worth of the queue. The slices are the queue's: whoever keeps them longer adds references.
struct Run {
  Sequence begin;
  std::uint32_t length = 0;   // in sequence numbers
  std::uint32_t payload = 0;  // octets
  NodeIndex first = no_node;
  NodeIndex last = no_node;
  std::size_t slice_count = 0;
  bool has_fin = false;
  std::array<Slice, max_slices> storage{};

  [[nodiscard]] std::span<const Slice> slices() const { return {storage.data(), slice_count}; }
  [[nodiscard]] Sequence end() const { return begin + length; }
};

class SendQueue {
 public:
  // An empty queue whose first octet will be `first`.
  void reset(Sequence first) { end_ = first; }

  [[nodiscard]] bool empty() const { return first_ == no_node; }
  [[nodiscard]] Sequence end() const { return end_; }
  [[nodiscard]] NodeIndex first() const { return first_; }
  [[nodiscard]] NodeIndex first_unsent() const { return unsent_; }
  [[nodiscard]] NodeIndex last_sent(const Memory& memory) const {
    return unsent_ == no_node ? last_ : memory[unsent_].previous;
  }
  [[nodiscard]] std::uint32_t queued() const { return queued_; }  // sequence numbers from una to end
  [[nodiscard]] std::uint32_t unsent() const { return queued_ - in_flight_ - sacked_ - lost_; }
  [[nodiscard]] std::uint32_t in_flight() const { return in_flight_; }  // RFC 6675's "pipe"
  [[nodiscard]] std::uint32_t sacked() const { return sacked_; }
  [[nodiscard]] std::uint32_t lost() const { return lost_; }
  [[nodiscard]] bool has_fin() const { return has_fin_; }
  // Is anything sent and not acknowledged?
  [[nodiscard]] bool outstanding() const { return first_ != unsent_; }

  // Appends payload and takes its reference over. False when there is no node: nothing has changed.
  [[nodiscard]] bool append(Memory& memory, const Slice& slice);
  [[nodiscard]] bool append_fin(Memory& memory);

  // The next new segment, at most `payload` octets and, with a FIN, `numbers` sequence numbers. Cuts a node in two when
  // it has to; when there is no node for that, the run ends before it (and may be empty).
  [[nodiscard]] Run next_unsent(Memory& memory, std::uint32_t payload, std::uint32_t numbers = 0xffffffffU);
  // The first lost segment; the same rules. Empty when nothing is lost.
  [[nodiscard]] Run next_lost(Memory& memory, std::uint32_t payload);
  // The last segment sent, for a tail loss probe: at most `payload` octets of its end.
  [[nodiscard]] Run last_segment(Memory& memory, std::uint32_t payload);
  // A run has been transmitted.
  void mark_sent(Memory& memory, const Run& run, Time now);

  // Removes what lies before `una`, which is between the old una and nxt. Calls `visit(const Node&)` for each node that
  // goes as a whole; of one that is acknowledged in part the rest stays.
  template <class Visit>
  void acknowledge(Memory& memory, Sequence una, Visit&& visit) {
    while (first_ != unsent_ && !packet::after(memory[first_].end(), una)) {
      visit(static_cast<const Node&>(memory[first_]));
      remove_first(memory);
    }
    if (first_ != unsent_ && packet::after(una, memory[first_].begin)) {
      trim_first(memory, una);
    }
  }

  // Marks what lies wholly in `block`, which is within what is outstanding. Calls `visit(const Node&)` for each node
  // that was not marked before.
  template <class Visit>
  void mark_sacked(Memory& memory, SackBlock block, Visit&& visit) {
    NodeIndex index = first_;
    while (index != unsent_ && packet::after(block.begin, memory[index].begin)) {
      index = memory[index].next;
    }
    for (; index != unsent_ && !packet::after(memory[index].end(), block.end); index = memory[index].next) {
      Node& node = memory[index];
      if (!node.has(node_flag::sacked)) {
        visit(static_cast<const Node&>(node));
        count(node, sacked_);
        node.flags = static_cast<std::uint8_t>((node.flags & ~node_flag::lost) | node_flag::sacked);
      }
    }
  }

  // A sent node that is neither lost nor sacked is lost.
  void mark_lost(Memory& memory, NodeIndex index);
  // Everything outstanding that is not sacked is lost.
  void mark_all_lost(Memory& memory);
  // Nothing is lost: what was marked is in flight.
  void recall_lost(Memory& memory);
  // Forgets what the peer has said that it holds: it has reneged (RFC 2018 section 8).
  void forget_sacks(Memory& memory);
  // What was last sent in segments of more than `payload` octets is lost: the path has become too narrow for it.
  void mark_larger_lost(Memory& memory, std::uint32_t payload);

  // Gives everything back.
  void clear(Memory& memory);

 private:
  [[nodiscard]] bool append_node(Memory& memory, NodeIndex index, std::uint32_t length);
  [[nodiscard]] bool cut(Memory& memory, NodeIndex index, std::uint32_t length);
  [[nodiscard]] Run gather(Memory& memory, NodeIndex index, std::uint32_t payload, std::uint32_t numbers,
                           std::uint8_t with);
  void remove_first(Memory& memory);
  void trim_first(Memory& memory, Sequence una);
  // Moves a sent node from the sum that it is counted in to another one.
  void count(const Node& node, std::uint32_t& to);

  NodeIndex first_ = no_node;
  NodeIndex unsent_ = no_node;
  NodeIndex last_ = no_node;
  NodeIndex lost_hint_ = no_node;  // no node before it is lost; no_node when none is
  Sequence end_;
  std::uint32_t queued_ = 0;
  std::uint32_t in_flight_ = 0;
  std::uint32_t sacked_ = 0;
  std::uint32_t lost_ = 0;
  bool has_fin_ = false;
};
static_assert(sizeof(SendQueue) == 40);

}  // namespace steelyard::tcp

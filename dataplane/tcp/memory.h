// The memory of a worker's TCP queues: one preallocated array of nodes, each of which holds one slice of payload in a
// send queue or out of order in a reassembly queue. An idle connection holds no node and no buffer; what all
// connections hold together is bounded by the array. Worker only; nothing allocates after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "dataplane/packet/sequence.h"
#include "dataplane/tcp/pressure.h"
#include "dataplane/tcp/slice.h"
#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

using packet::Sequence;

using NodeIndex = std::uint32_t;
inline constexpr NodeIndex no_node = 0xffffffffU;

// What has become of a piece of a send queue.
namespace node_flag {
inline constexpr std::uint8_t sent = 0x01;
inline constexpr std::uint8_t sacked = 0x02;         // the peer holds it (RFC 2018)
inline constexpr std::uint8_t lost = 0x04;           // to be retransmitted; not in flight
inline constexpr std::uint8_t retransmitted = 0x08;  // at least once: gives no sample of the round trip (Karn)
inline constexpr std::uint8_t fin = 0x10;            // no payload, one sequence number
inline constexpr std::uint8_t leads = 0x20;          // the first node of the segment that it was last sent in
}  // namespace node_flag

struct Node {
  Slice slice;
  Time sent_at;                    // send queue: the last transmission
  Sequence begin;                  // of the first octet
  std::uint32_t length = 0;        // in sequence numbers
  NodeIndex next = no_node;        // also links free nodes
  NodeIndex previous = no_node;    // send queue and reassembly
  std::uint32_t stamp = 0;         // reassembly: when it was last touched, counted in segments
  std::uint16_t segment_size = 0;  // send queue: payload of the segment that it was last sent in
  std::uint8_t flags = 0;

  [[nodiscard]] Sequence end() const { return begin + length; }
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};
static_assert(sizeof(Node) == 48);

class Memory {
 public:
  Memory(std::size_t nodes, BufferOperations buffers,
         std::pmr::memory_resource* resource = std::pmr::get_default_resource())
      : nodes_(nodes, resource), buffers_(buffers) {
    for (std::size_t index = nodes; index-- > 0;) {
      nodes_[index].next = free_;
      free_ = static_cast<NodeIndex>(index);
    }
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  [[nodiscard]] Node& operator[](NodeIndex index) { return nodes_[index]; }
  [[nodiscard]] const Node& operator[](NodeIndex index) const { return nodes_[index]; }

  // A node with this slice, whose reference it takes over; `no_node` when there is none left (the slice stays the
  // caller's).
  [[nodiscard]] NodeIndex allocate(Slice slice) {
    const NodeIndex index = free_;
    if (index != no_node) {
      free_ = nodes_[index].next;
      nodes_[index] = Node{.slice = slice, .sent_at = {}, .begin = {}};
      ++used_;
    }
    return index;
  }
  // Gives a node and its slice's reference back.
  void free(NodeIndex index) {
    if (nodes_[index].slice.buffer != nullptr) {
      release(nodes_[index].slice);
    }
    recycle(index);
  }
  // Gives a node back; its slice's reference is the caller's now.
  [[nodiscard]] Slice take(NodeIndex index) {
    const Slice slice = nodes_[index].slice;
    recycle(index);
    return slice;
  }

  void retain(const Slice& slice) const { buffers_.retain(slice.buffer); }
  void release(const Slice& slice) const { buffers_.release(slice.buffer); }

  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t capacity() const { return nodes_.size(); }
  [[nodiscard]] std::size_t available() const { return nodes_.size() - used_; }
  // What applications may not use up: cutting segments anew and queueing a FIN must go on when data are refused.
  [[nodiscard]] std::size_t reserve() const { return nodes_.size() / 8; }

  // How short the buffers are that slices point to.
  [[nodiscard]] Pressure& pressure() { return pressure_; }
  [[nodiscard]] const Pressure& pressure() const { return pressure_; }

 private:
  void recycle(NodeIndex index) {
    nodes_[index].next = free_;
    free_ = index;
    --used_;
  }

  std::pmr::vector<Node> nodes_;
  NodeIndex free_ = no_node;
  std::size_t used_ = 0;
  BufferOperations buffers_;
  Pressure pressure_;
};

}  // namespace steelyard::tcp

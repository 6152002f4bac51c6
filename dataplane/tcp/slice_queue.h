// Slices that wait for somebody, in their order: what an application has been given and has not passed on yet. Lives in
// the nodes of the worker's TCP (memory.h), so that it is bounded with everything else and allocates nothing. Owns the
// references of its slices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "dataplane/tcp/memory.h"

namespace steelyard::tcp {

class SliceQueue {
 public:
  [[nodiscard]] bool empty() const { return first_ == no_node; }
  [[nodiscard]] std::uint32_t octets() const { return octets_; }
  [[nodiscard]] std::uint32_t slices() const { return slices_; }
  // Do the slices fill less than a quarter of the buffers that they make somebody hold, and are they many enough for it
  // to matter? A peer that sends an octet a segment would hold a buffer for each.
  [[nodiscard]] bool wasteful() const { return slices_ >= 16 && octets_ / slices_ < 512; }

  // Takes the slice over. False: no node is left, and it stays the caller's.
  [[nodiscard]] bool push(Memory& memory, const Slice& slice) {
    const NodeIndex index = memory.allocate(slice);
    if (index == no_node) {
      return false;
    }
    (last_ == no_node ? first_ : memory[last_].next) = index;
    memory[index].next = no_node;
    last_ = index;
    octets_ += slice.length;
    ++slices_;
    return true;
  }
  [[nodiscard]] const Slice& front(const Memory& memory) const { return memory[first_].slice; }
  // Calls look(slice) for each slice, in order, until it returns false.
  template <class Look>
  void visit(const Memory& memory, Look&& look) const {
    for (NodeIndex index = first_; index != no_node && look(memory[index].slice); index = memory[index].next) {
    }
  }
  // Its reference is the caller's.
  [[nodiscard]] Slice pop(Memory& memory) {
    const NodeIndex index = first_;
    first_ = memory[index].next;
    if (first_ == no_node) {
      last_ = no_node;
    }
    const Slice slice = memory.take(index);
    octets_ -= slice.length;
    --slices_;
    return slice;
  }
  // Gives the first octets back, at most as many as there are in the first slice.
  void trim(Memory& memory, std::uint32_t octets) {
    Slice& slice = memory[first_].slice;
    if (octets >= slice.length) {
      memory.release(pop(memory));
      return;
    }
    slice = slice.from(octets);
    octets_ -= octets;
  }
  void clear(Memory& memory) {
    while (!empty()) {
      memory.release(pop(memory));
    }
  }

 private:
  NodeIndex first_ = no_node;
  NodeIndex last_ = no_node;
  std::uint32_t octets_ = 0;
  std::uint32_t slices_ = 0;
};
static_assert(sizeof(SliceQueue) == 16);

}  // namespace steelyard::tcp

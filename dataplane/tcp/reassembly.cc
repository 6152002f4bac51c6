#include "dataplane/tcp/reassembly.h"

#include <algorithm>

namespace steelyard::tcp {

using packet::after;
using packet::distance;

namespace {

Sequence earlier_of(Sequence left, Sequence right) {
  return after(left, right) ? right : left;
}

}  // namespace

bool Reassembly::insert(Memory& memory, Sequence begin, const Slice& slice, NodeIndex before) {
  const NodeIndex index = memory.allocate(slice);
  if (index == no_node) {
    return false;
  }
  memory.retain(slice);
  Node& node = memory[index];
  node.begin = begin;
  node.length = slice.length;
  node.stamp = stamp_;
  node.next = before;
  node.previous = before == no_node ? last_ : memory[before].previous;
  (node.previous == no_node ? first_ : memory[node.previous].next) = index;
  (before == no_node ? last_ : memory[before].previous) = index;
  ++held_;
  return true;
}

Reassembly::Added Reassembly::add(Memory& memory, Sequence begin, const Slice& payload, std::size_t most_held) {
  Added added;
  ++stamp_;
  const Sequence end = begin + payload.length;
  Sequence cursor = begin;
  // Mostly a segment comes behind all others.
  NodeIndex index = last_ != no_node && !after(memory[last_].end(), begin) ? no_node : first_;
  while (after(end, cursor)) {
    while (index != no_node && !after(memory[index].end(), cursor)) {
      index = memory[index].next;
    }
    const Sequence gap_end = index == no_node ? end : earlier_of(end, memory[index].begin);
    if (after(gap_end, cursor)) {
      const Slice piece = payload.from(distance(begin, cursor)).first(distance(cursor, gap_end));
      if (held_ >= most_held || !insert(memory, cursor, piece, index)) {
        added.complete = false;
        break;
      }
      cursor = gap_end;
    } else {
      Node& held = memory[index];
      const Sequence overlap_end = earlier_of(end, held.end());
      if (added.duplicate.empty()) {
        added.duplicate = {cursor, overlap_end};
      }
      held.stamp = stamp_;
      cursor = overlap_end;
    }
  }
  memory.release(payload);
  return added;
}

std::optional<Slice> Reassembly::take(Memory& memory, Sequence next) {
  if (first_ == no_node || memory[first_].begin != next) {
    return std::nullopt;
  }
  const NodeIndex index = first_;
  first_ = memory[index].next;
  (first_ == no_node ? last_ : memory[first_].previous) = no_node;
  --held_;
  return memory.take(index);
}

std::uint8_t Reassembly::blocks(const Memory& memory, std::array<SackBlock, max_sack_blocks>& to) const {
  std::array<std::uint32_t, max_sack_blocks> ages{};
  std::size_t count = 0;
  for (NodeIndex index = first_; index != no_node;) {
    SackBlock block{memory[index].begin, memory[index].begin};
    std::uint32_t age = 0xffffffffU;  // in segments: the youngest node's
    for (; index != no_node && memory[index].begin == block.end; index = memory[index].next) {
      block.end = memory[index].end();
      age = std::min(age, stamp_ - memory[index].stamp);
    }
    std::size_t place = count;
    while (place > 0 && ages[place - 1] > age) {
      --place;
    }
    if (place == max_sack_blocks) {
      continue;
    }
    count = std::min(count + 1, max_sack_blocks);
    for (std::size_t moved = count - 1; moved > place; --moved) {
      ages[moved] = ages[moved - 1];
      to[moved] = to[moved - 1];
    }
    ages[place] = age;
    to[place] = block;
  }
  return static_cast<std::uint8_t>(count);
}

void Reassembly::clear(Memory& memory) {
  while (first_ != no_node) {
    const NodeIndex index = first_;
    first_ = memory[index].next;
    memory.free(index);
  }
  last_ = no_node;
  held_ = 0;
}

}  // namespace steelyard::tcp

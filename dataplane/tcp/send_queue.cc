#include "dataplane/tcp/send_queue.h"

#include <algorithm>

namespace steelyard::tcp {

using packet::after;
using packet::distance;

void SendQueue::count(const Node& node, std::uint32_t& to) {
  std::uint32_t& from = node.has(node_flag::sacked) ? sacked_ : node.has(node_flag::lost) ? lost_ : in_flight_;
  from -= node.length;
  to += node.length;
}

bool SendQueue::append_node(Memory& memory, NodeIndex index, std::uint32_t length) {
  if (index == no_node) {
    return false;
  }
  Node& node = memory[index];
  node.begin = end_;
  node.length = length;
  node.previous = last_;
  (last_ == no_node ? first_ : memory[last_].next) = index;
  last_ = index;
  if (unsent_ == no_node) {
    unsent_ = index;
  }
  end_ = end_ + length;
  queued_ += length;
  return true;
}

bool SendQueue::append(Memory& memory, const Slice& slice) {
  return append_node(memory, memory.allocate(slice), slice.length);
}

bool SendQueue::append_fin(Memory& memory) {
  if (!append_node(memory, memory.allocate({}), 1)) {
    return false;
  }
  memory[last_].flags = node_flag::fin;
  has_fin_ = true;
  return true;
}

// Cuts a node after `length` octets; the rest becomes a node of its own that shares buffer and history.
bool SendQueue::cut(Memory& memory, NodeIndex index, std::uint32_t length) {
  const NodeIndex rest = memory.allocate(memory[index].slice.from(length));
  if (rest == no_node) {
    return false;
  }
  memory.retain(memory[index].slice);
  Node& head = memory[index];
  Node& tail = memory[rest];
  tail.sent_at = head.sent_at;
  tail.begin = head.begin + length;
  tail.length = head.length - length;
  tail.segment_size = head.segment_size;
  tail.flags = static_cast<std::uint8_t>(head.flags & ~node_flag::leads);
  tail.next = head.next;
  tail.previous = index;
  (tail.next == no_node ? last_ : memory[tail.next].previous) = rest;
  head.next = rest;
  head.length = length;
  head.slice = head.slice.first(length);
  return true;
}

// Gathers nodes from `index` on that have the flag `with` (0: unsent ones).
Run SendQueue::gather(Memory& memory, NodeIndex index, std::uint32_t payload, std::uint32_t numbers,
                      std::uint8_t with) {
  Run run;
  run.first = index;
  run.begin = index == no_node ? end_ : memory[index].begin;
  while (index != no_node &&
         (with == 0 ? index == unsent_ || !memory[index].has(node_flag::sent) : memory[index].has(with))) {
    if (memory[index].has(node_flag::fin)) {
      if (run.length >= numbers) {
        break;
      }
      run.has_fin = true;
    } else {
      if (run.slice_count == max_slices || run.payload == payload) {
        break;
      }
      if (memory[index].length > payload - run.payload && !cut(memory, index, payload - run.payload)) {
        break;
      }
      run.storage[run.slice_count++] = memory[index].slice;
      run.payload += memory[index].length;
    }
    run.length += memory[index].length;
    run.last = index;
    index = memory[index].next;
  }
  return run;
}

Run SendQueue::next_unsent(Memory& memory, std::uint32_t payload, std::uint32_t numbers) {
  return gather(memory, unsent_, std::min(payload, numbers), numbers, 0);
}

Run SendQueue::next_lost(Memory& memory, std::uint32_t payload) {
  while (lost_hint_ != unsent_ && lost_hint_ != no_node && !memory[lost_hint_].has(node_flag::lost)) {
    lost_hint_ = memory[lost_hint_].next;
  }
  if (lost_ == 0) {
    lost_hint_ = no_node;
  }
  return gather(memory, lost_hint_, payload, 0xffffffffU, node_flag::lost);
}

Run SendQueue::last_segment(Memory& memory, std::uint32_t payload) {
  NodeIndex index = last_sent(memory);
  // Back to the node that begins the last `payload` octets.
  std::uint32_t octets = memory[index].slice.length;
  while (octets < payload && index != first_ && memory[index].sent_at == memory[memory[index].previous].sent_at &&
         octets + memory[memory[index].previous].slice.length <= payload) {
    index = memory[index].previous;
    octets += memory[index].slice.length;
  }
  return gather(memory, index, payload, 0xffffffffU, node_flag::sent);
}

void SendQueue::mark_sent(Memory& memory, const Run& run, Time now) {
  if (run.length == 0) {
    return;
  }
  for (NodeIndex index = run.first;; index = memory[index].next) {
    Node& node = memory[index];
    if (!node.has(node_flag::sent)) {
      node.flags |= node_flag::sent;
      in_flight_ += node.length;
      unsent_ = node.next;
    } else {
      count(node, in_flight_);
      node.flags =
          static_cast<std::uint8_t>((node.flags & ~(node_flag::lost | node_flag::sacked)) | node_flag::retransmitted);
    }
    node.flags =
        static_cast<std::uint8_t>(index == run.first ? node.flags | node_flag::leads : node.flags & ~node_flag::leads);
    node.sent_at = now;
    node.segment_size = static_cast<std::uint16_t>(run.payload);
    if (index == run.last) {
      break;
    }
  }
}

void SendQueue::remove_first(Memory& memory) {
  const NodeIndex index = first_;
  const Node& node = memory[index];
  queued_ -= node.length;
  (node.has(node_flag::sacked) ? sacked_ : node.has(node_flag::lost) ? lost_ : in_flight_) -= node.length;
  if (lost_hint_ == index) {
    lost_hint_ = node.next;
  }
  first_ = node.next;
  (first_ == no_node ? last_ : memory[first_].previous) = no_node;
  memory.free(index);
}

void SendQueue::trim_first(Memory& memory, Sequence una) {
  Node& node = memory[first_];
  const std::uint32_t octets = distance(node.begin, una);
  queued_ -= octets;
  (node.has(node_flag::sacked) ? sacked_ : node.has(node_flag::lost) ? lost_ : in_flight_) -= octets;
  node.begin = una;
  node.length -= octets;
  node.slice = node.slice.from(octets);
}

void SendQueue::mark_lost(Memory& memory, NodeIndex index) {
  Node& node = memory[index];
  if (node.has(node_flag::lost | node_flag::sacked)) {
    return;
  }
  count(node, lost_);
  node.flags |= node_flag::lost;
  if (lost_hint_ == no_node || after(memory[lost_hint_].begin, node.begin)) {
    lost_hint_ = index;
  }
}

void SendQueue::mark_all_lost(Memory& memory) {
  for (NodeIndex index = first_; index != unsent_; index = memory[index].next) {
    mark_lost(memory, index);
  }
}

void SendQueue::recall_lost(Memory& memory) {
  for (NodeIndex index = lost_hint_; lost_ != 0; index = memory[index].next) {
    Node& node = memory[index];
    if (node.has(node_flag::lost)) {
      count(node, in_flight_);
      node.flags = static_cast<std::uint8_t>(node.flags & ~node_flag::lost);
    }
  }
  lost_hint_ = no_node;
}

void SendQueue::forget_sacks(Memory& memory) {
  for (NodeIndex index = first_; index != unsent_; index = memory[index].next) {
    Node& node = memory[index];
    if (node.has(node_flag::sacked)) {
      count(node, in_flight_);
      node.flags = static_cast<std::uint8_t>(node.flags & ~node_flag::sacked);
    }
  }
}

void SendQueue::mark_larger_lost(Memory& memory, std::uint32_t payload) {
  for (NodeIndex index = first_; index != unsent_; index = memory[index].next) {
    if (memory[index].segment_size > payload) {
      mark_lost(memory, index);
    }
  }
}

void SendQueue::clear(Memory& memory) {
  while (first_ != no_node) {
    const NodeIndex index = first_;
    first_ = memory[index].next;
    memory.free(index);
  }
  *this = SendQueue{};
}

}  // namespace steelyard::tcp

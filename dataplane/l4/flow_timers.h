// When flows end: a two-level timer wheel and three queues, all made of links inside the flow entries.
//
//   wheel level 0: 256 slots of one tick      (1/16 s each, 16 s in all)
//   wheel level 1:  64 slots of 256 ticks     (16 s each, 1,024 s in all)
//   half-open: first in, first out            (their time to live is the same for all: the head is the next to expire)
//   lingering: first in, first out            (as above; the head is the first to be given up when room is needed)
//   client closed: the head is the first to be given up after those; what is still in use goes back to the end
//
// A packet never touches the wheel: it stores `last_seen`, and the wheel finds out when the slot comes round and puts
// the flow where it now belongs. The tick fits 16 bits because it wraps after 4,096 s, more than twice the longest
// wait.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/l4/flow.h"

namespace steelyard::l4 {

// Time in steps of 1/16 s since the worker started.
struct Tick {
  std::uint64_t value = 0;
  static constexpr std::uint64_t per_second = 16;
  [[nodiscard]] std::uint16_t low() const { return static_cast<std::uint16_t>(value); }
};

// Ticks that have passed since `then`, which is the low part of a tick less than 4,096 s ago.
[[nodiscard]] constexpr std::uint32_t elapsed(Tick now, std::uint16_t then) {
  return static_cast<std::uint16_t>(static_cast<std::uint16_t>(now.value) - then);
}

template <class FlowType>
class FlowTimers {
 public:
  static constexpr std::uint32_t none = 0xffffffffU;

  // The lists link `flows`, which outlives this object.
  explicit FlowTimers(FlowType* flows) : flows_(flows) { heads_.fill({none, none}); }

  // Puts an unlinked flow where the wheel comes by in `ticks` (at least 1; later than the wheel reaches: at its end).
  void schedule(FlowIndex flow, Tick now, std::uint32_t ticks) {
    const std::uint64_t earliest = cursor_ + 1;
    const std::uint64_t latest = cursor_ + level1_slots * level0_slots - level0_slots;
    std::uint64_t due = now.value + ticks;
    due = due < earliest ? earliest : due;
    due = due > latest ? latest : due;
    append(flow, due - cursor_ <= level0_slots
                     ? static_cast<std::uint32_t>(due % level0_slots)
                     : level1_first + static_cast<std::uint32_t>(due / level0_slots % level1_slots));
  }
  void append_half_open(FlowIndex flow) { append(flow, half_open_list); }
  void append_lingering(FlowIndex flow) { append(flow, lingering_list); }
  void append_client_closed(FlowIndex flow) { append(flow, client_closed_list); }
  [[nodiscard]] std::uint32_t oldest_half_open() const { return heads_[half_open_list].first; }
  [[nodiscard]] std::uint32_t oldest_lingering() const { return heads_[lingering_list].first; }
  [[nodiscard]] std::uint32_t oldest_client_closed() const { return heads_[client_closed_list].first; }

  void unlink(FlowIndex index) {
    FlowType& flow = flows_[index.value];
    const std::uint32_t list = list_of_first(flow);
    if (list != none) {
      heads_[list].first = flow.next;
    } else {
      flows_[flow.previous].next = flow.next;
    }
    if (flow.next == none) {
      // The last of its list: the list is found from the tail's end mark, which only queues need.
      for (const std::uint32_t queue : {half_open_list, lingering_list, client_closed_list}) {
        if (heads_[queue].last == index.value) {
          heads_[queue].last = list != none ? none : flow.previous;
        }
      }
      return;
    }
    flows_[flow.next].previous = flow.previous;
  }

  // Turns the wheel up to `now`. `visit(flow)` is called with the flow still linked when its slot comes round and
  // returns after how many ticks to come back, or 0 when it has removed the flow. At most `budget` visits; what is
  // left goes on at the next call. Returns the visits made.
  template <class Visit>
  std::size_t advance(Tick now, std::size_t budget, Visit&& visit) {
    std::size_t visits = 0;
    while (cursor_ < now.value) {
      const std::uint64_t tick = cursor_ + 1;
      if (tick % level0_slots == 0 &&
          !empty_slot(level1_first + static_cast<std::uint32_t>(tick / level0_slots % level1_slots), now, budget,
                      visits, visit)) {
        return visits;
      }
      if (!empty_slot(static_cast<std::uint32_t>(tick % level0_slots), now, budget, visits, visit)) {
        return visits;
      }
      cursor_ = tick;
    }
    return visits;
  }

 private:
  static constexpr std::uint32_t level0_slots = 256;
  static constexpr std::uint32_t level1_slots = 64;
  static constexpr std::uint32_t level1_first = level0_slots;
  static constexpr std::uint32_t half_open_list = level0_slots + level1_slots;
  static constexpr std::uint32_t lingering_list = half_open_list + 1;
  static constexpr std::uint32_t client_closed_list = lingering_list + 1;
  static constexpr std::uint32_t lists = client_closed_list + 1;
  // `previous` of the first flow of a list: this bit and the list's number. Flow indices stay below it.
  static constexpr std::uint32_t first_mark = 0x80000000U;

  struct Head {
    std::uint32_t first;
    std::uint32_t last;  // kept for the queues only
  };

  [[nodiscard]] static std::uint32_t list_of_first(const FlowType& flow) {
    return (flow.previous & first_mark) != 0 ? flow.previous & ~first_mark : none;
  }

  void append(FlowIndex index, std::uint32_t list) {
    FlowType& flow = flows_[index.value];
    Head& head = heads_[list];
    if (list >= half_open_list && head.last != none) {
      flow.next = none;
      flow.previous = head.last;
      flows_[head.last].next = index.value;
      head.last = index.value;
      return;
    }
    // Wheel slots have no order: put in front.
    flow.next = head.first;
    flow.previous = first_mark | list;
    if (head.first != none) {
      flows_[head.first].previous = index.value;
    }
    head.first = index.value;
    head.last = index.value;
  }

  template <class Visit>
  [[nodiscard]] bool empty_slot(std::uint32_t slot, Tick now, std::size_t budget, std::size_t& visits, Visit& visit) {
    while (heads_[slot].first != none) {
      if (visits == budget) {
        return false;
      }
      ++visits;
      const FlowIndex flow{heads_[slot].first};
      if (const std::uint32_t ticks = visit(flow); ticks != 0) {
        unlink(flow);
        schedule(flow, now, ticks);  // not into the slot being emptied: that is of cursor + 1, no later than now
      }
    }
    return true;
  }

  FlowType* flows_;
  std::uint64_t cursor_ = 0;  // the last tick whose slots are empty
  std::array<Head, lists> heads_{};
};

}  // namespace steelyard::l4

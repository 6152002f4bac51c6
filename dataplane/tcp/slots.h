// A bounded set of small slots in preallocated memory, and queues of them: first in, first out, made of links inside
// the slots. All slots of a queue wait equally long, so its head is always the next to be due. Worker only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace steelyard::tcp {

using SlotIndex = std::uint32_t;
inline constexpr SlotIndex no_slot = 0xffffffffU;

struct SlotQueue {
  SlotIndex first = no_slot;
  SlotIndex last = no_slot;
};

// `Slot` has members `next` and `previous`.
template <class Slot>
class Slots {
 public:
  Slots(std::size_t count, std::pmr::memory_resource* resource) : slots_(count, resource) {
    for (std::size_t index = count; index-- > 0;) {
      slots_[index].next = free_;
      free_ = static_cast<SlotIndex>(index);
    }
  }

  [[nodiscard]] Slot& operator[](SlotIndex index) { return slots_[index]; }
  [[nodiscard]] const Slot& operator[](SlotIndex index) const { return slots_[index]; }
  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t capacity() const { return slots_.size(); }

  // A slot at the end of a queue, or `no_slot` when all are in use.
  [[nodiscard]] SlotIndex allocate(SlotQueue& queue) {
    const SlotIndex index = free_;
    if (index != no_slot) {
      free_ = slots_[index].next;
      ++used_;
      slots_[index] = Slot{};
      append(queue, index);
    }
    return index;
  }
  // Gives a slot of this queue back.
  void free(SlotQueue& queue, SlotIndex index) {
    unlink(queue, index);
    slots_[index].next = free_;
    free_ = index;
    --used_;
  }
  void move(SlotQueue& from, SlotQueue& to, SlotIndex index) {
    unlink(from, index);
    append(to, index);
  }

 private:
  void append(SlotQueue& queue, SlotIndex index) {
    slots_[index].next = no_slot;
    slots_[index].previous = queue.last;
    (queue.last == no_slot ? queue.first : slots_[queue.last].next) = index;
    queue.last = index;
  }
  void unlink(SlotQueue& queue, SlotIndex index) {
    const Slot& slot = slots_[index];
    (slot.previous == no_slot ? queue.first : slots_[slot.previous].next) = slot.next;
    (slot.next == no_slot ? queue.last : slots_[slot.next].previous) = slot.previous;
  }

  std::pmr::vector<Slot> slots_;
  SlotIndex free_ = no_slot;
  std::size_t used_ = 0;
};

}  // namespace steelyard::tcp

// Connections that a client has begun and not completed: one slot of 64 bytes each, in preallocated memory, and the
// retransmission of SYN-ACKs with doubled waits (RFC 6298 section 5, rule 5.5). Worker only; nothing is allocated for a
// SYN.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/tcp/handshake.h"
#include "dataplane/tcp/slots.h"
#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

struct SynSlot {
  std::array<std::uint64_t, 2> remote{};
  std::array<std::uint64_t, 2> local{};
  std::uint16_t remote_port = 0;
  std::uint16_t local_port = 0;
  Sequence peer_initial;
  Sequence initial;
  std::uint32_t timestamp = 0;
  std::uint32_t due_ms = 0;  // when its SYN-ACK is repeated; wraps
  SlotIndex next = no_slot;
  SlotIndex previous = no_slot;
  std::uint16_t segment_size = 0;
  std::uint8_t options = 0;      // | timestamps | sack | scaled | answered again | window scale (4) |
  std::uint8_t repetitions = 0;  // which queue it is in

  // Has its SYN-ACK been sent more than once? Then nobody knows which one an acknowledgment answers (RFC 6298 section
  // 3).
  [[nodiscard]] bool ambiguous() const { return repetitions != 0 || (options & 0x10U) != 0; }
  [[nodiscard]] Endpoints endpoints() const { return {{remote}, {local}, remote_port, local_port}; }
  [[nodiscard]] Handshake handshake() const {
    Handshake handshake;
    handshake.peer_initial = peer_initial;
    handshake.initial = initial;
    handshake.timestamp = timestamp;
    handshake.segment_size = segment_size;
    handshake.window_scale = options & 0x0fU;
    handshake.scaled = (options & 0x20U) != 0;
    handshake.sack = (options & 0x40U) != 0;
    handshake.timestamps = (options & 0x80U) != 0;
    return handshake;
  }
};
static_assert(sizeof(SynSlot) == 64);

class SynTable {
 public:
  // A SYN-ACK costs less than a microsecond: a fifth of the millisecond that a turn may take.
  static constexpr std::size_t most_at_once = 256;
  static constexpr unsigned most_repetitions = 5;  // waits of 1, 2, 4, 8, 16 and 32 s: 63 s in all
  static constexpr std::uint32_t first_wait_ms = 1'000;

  explicit SynTable(std::size_t capacity, std::pmr::memory_resource* resource = std::pmr::get_default_resource())
      : slots_(capacity, resource) {}

  [[nodiscard]] std::size_t used() const { return slots_.used(); }
  [[nodiscard]] std::size_t capacity() const { return slots_.capacity(); }
  [[nodiscard]] const SynSlot& operator[](SlotIndex index) const { return slots_[index]; }

  // `no_slot` when the table is full.
  [[nodiscard]] SlotIndex add(const Endpoints& endpoints, const Handshake& handshake, Time now) {
    const SlotIndex index = slots_.allocate(queues_[0]);
    if (index == no_slot) {
      return index;
    }
    SynSlot& slot = slots_[index];
    slot.remote = endpoints.remote.raw;
    slot.local = endpoints.local.raw;
    slot.remote_port = endpoints.remote_port;
    slot.local_port = endpoints.local_port;
    slot.peer_initial = handshake.peer_initial;
    slot.initial = handshake.initial;
    slot.timestamp = handshake.timestamp;
    slot.segment_size = handshake.segment_size;
    slot.options = static_cast<std::uint8_t>((handshake.timestamps ? 0x80U : 0U) | (handshake.sack ? 0x40U : 0U) |
                                             (handshake.scaled ? 0x20U : 0U) | handshake.window_scale);
    slot.due_ms = milliseconds_of(now) + first_wait_ms;
    return index;
  }
  void remove(SlotIndex index) { slots_.free(queues_[slots_[index].repetitions], index); }
  // The client has repeated its SYN, with this timestamp, and is answered again.
  void refresh(SlotIndex index, std::uint32_t timestamp) {
    slots_[index].timestamp = timestamp;
    slots_[index].options |= 0x10U;
  }

  // The next deadline, or `never`. `now` says which round of the 32-bit milliseconds it is.
  [[nodiscard]] Time deadline(Time now) const {
    Time earliest = never;
    for (const SlotQueue& queue : queues_) {
      if (queue.first != no_slot) {
        const auto wait = static_cast<std::int32_t>(slots_[queue.first].due_ms - milliseconds_of(now));
        // Deadlines are kept in whole milliseconds: counted from the millisecond that `now` lies in.
        const Time whole{std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch())};
        earliest = std::min(earliest, whole + std::chrono::milliseconds{wait});
      }
    }
    return earliest;
  }

  // For what is due at `now`: `repeat(slot)`, or, after the last repetition, `expire(index)`, whose slot is freed then.
  // For a few hundred at most: a flood fills the table within milliseconds, and all of it is due together a second
  // later. The rest stays due.
  template <class Repeat, class Expire>
  void on_timer(Time now, Repeat&& repeat, Expire&& expire) {
    std::size_t left = most_at_once;
    for (unsigned repetitions = most_repetitions + 1; repetitions-- > 0;) {
      SlotQueue& queue = queues_[repetitions];
      while (queue.first != no_slot && left != 0 &&
             static_cast<std::int32_t>(slots_[queue.first].due_ms - milliseconds_of(now)) <= 0) {
        const SlotIndex index = queue.first;
        --left;
        if (repetitions == most_repetitions) {
          expire(index);
          slots_.free(queue, index);
          continue;
        }
        slots_[index].repetitions = static_cast<std::uint8_t>(repetitions + 1);
        slots_[index].due_ms = milliseconds_of(now) + (2'000U << repetitions);
        slots_.move(queue, queues_[repetitions + 1], index);
        repeat(static_cast<const SynSlot&>(slots_[index]));
      }
    }
  }

 private:
  Slots<SynSlot> slots_;
  std::array<SlotQueue, most_repetitions + 1> queues_{};  // by how often the SYN-ACK was repeated
};

}  // namespace steelyard::tcp

// Connections that are over and whose last segments may still be under way (RFC 9293 section 3.6.1): one slot of 64
// bytes each. Bounded: when all are in use, the oldest gives way, which is the one that needs it least. Worker only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/tcp/endpoints.h"
#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/slots.h"
#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

// What of a connection goes on to TIME_WAIT.
struct Ending {
  Sequence send_next;
  Sequence receive_next;
  std::uint32_t peer_timestamp = 0;  // TS.Recent
  std::uint16_t window = 0;          // as it is written in segments
  bool timestamps = false;
};

struct TimeWaitSlot {
  std::array<std::uint64_t, 2> remote{};
  std::array<std::uint64_t, 2> local{};
  std::uint16_t remote_port = 0;
  std::uint16_t local_port = 0;
  Sequence send_next;
  Sequence receive_next;
  std::uint32_t peer_timestamp = 0;
  std::uint32_t until_ms = 0;  // wraps
  SlotIndex next = no_slot;
  SlotIndex previous = no_slot;
  std::uint16_t window = 0;
  bool timestamps = false;

  [[nodiscard]] Endpoints endpoints() const { return {{remote}, {local}, remote_port, local_port}; }
};
static_assert(sizeof(TimeWaitSlot) == 64);

class TimeWaitTable {
 public:
  // 2 MSL with an MSL of 30 s, as all common stacks have it.
  static constexpr std::uint32_t lifetime_ms = 60'000;

  explicit TimeWaitTable(std::size_t capacity, std::pmr::memory_resource* resource = std::pmr::get_default_resource())
      : slots_(capacity, resource) {}

  [[nodiscard]] std::size_t used() const { return slots_.used(); }
  [[nodiscard]] bool full() const { return slots_.used() == slots_.capacity(); }
  [[nodiscard]] SlotIndex oldest() const { return queue_.first; }
  [[nodiscard]] const TimeWaitSlot& operator[](SlotIndex index) const { return slots_[index]; }

  // There is room: the caller has removed oldest() if the table was full().
  [[nodiscard]] SlotIndex add(const Endpoints& endpoints, const Ending& ending, Time now) {
    const SlotIndex index = slots_.allocate(queue_);
    TimeWaitSlot& slot = slots_[index];
    slot.remote = endpoints.remote.raw;
    slot.local = endpoints.local.raw;
    slot.remote_port = endpoints.remote_port;
    slot.local_port = endpoints.local_port;
    slot.send_next = ending.send_next;
    slot.receive_next = ending.receive_next;
    slot.peer_timestamp = ending.peer_timestamp;
    slot.window = ending.window;
    slot.timestamps = ending.timestamps;
    slot.until_ms = milliseconds_of(now) + lifetime_ms;
    return index;
  }
  void remove(SlotIndex index) { slots_.free(queue_, index); }

  // The peer has repeated its FIN: the wait begins anew (RFC 9293 section 3.10.7.4).
  void restart(SlotIndex index, std::uint32_t timestamp, Time now) {
    slots_[index].until_ms = milliseconds_of(now) + lifetime_ms;
    slots_[index].peer_timestamp = timestamp;
    slots_.move(queue_, queue_, index);
  }

  [[nodiscard]] Time deadline(Time now) const {
    if (queue_.first == no_slot) {
      return never;
    }
    const auto wait = static_cast<std::int32_t>(slots_[queue_.first].until_ms - milliseconds_of(now));
    const Time whole{std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch())};
    return whole + std::chrono::milliseconds{wait};
  }

  // Frees what has waited long enough; `expire(index)` is called before.
  template <class Expire>
  void on_timer(Time now, Expire&& expire) {
    while (queue_.first != no_slot &&
           static_cast<std::int32_t>(slots_[queue_.first].until_ms - milliseconds_of(now)) <= 0) {
      expire(queue_.first);
      slots_.free(queue_, queue_.first);
    }
  }

 private:
  Slots<TimeWaitSlot> slots_;
  SlotQueue queue_;
};

}  // namespace steelyard::tcp

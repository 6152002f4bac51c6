// When connections want to be called: a wheel of three levels whose links lie in the connections' entries.
//
//   level 0: 256 slots of 1 ms | level 1: 256 slots of 256 ms | level 2: 256 slots of 65.5 s (4.6 h in all)
//
// Lazy: an entry that wants to be called later than it is scheduled stays where it is and finds out when its slot
// comes; so an acknowledgment moves a deadline and no links. Worker only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

struct TimerLinks {
  static constexpr std::uint16_t unlinked = 0xffff;
  std::uint32_t next = 0xffffffffU;
  std::uint32_t previous = 0xffffffffU;
  std::uint32_t tick = 0;  // for which it is scheduled
  std::uint16_t slot = unlinked;
};

// `Links` gives an entry's TimerLinks by its index: `TimerLinks& links(std::uint32_t)`.
template <class Links>
class TimerWheel {
 public:
  TimerWheel(Links& links, Time now) : links_(links), cursor_(tick_of(now)) { heads_.fill(none); }

  // Makes sure that an entry is called at `at` or earlier; `never` leaves it as it is.
  void schedule(std::uint32_t entry, Time at) {
    if (at == never) {
      return;
    }
    // Not before the deadline: rounded up.
    const std::uint64_t latest = cursor_ + (std::uint64_t{1} << 24U) - (1U << 16U);
    const std::uint64_t tick = std::clamp(tick_of(at + Duration{999}), cursor_ + 1, latest);
    TimerLinks& links = links_.links(entry);
    if (links.slot != TimerLinks::unlinked) {
      if (static_cast<std::int32_t>(links.tick - static_cast<std::uint32_t>(tick)) <= 0) {
        return;
      }
      cancel(entry);
    }
    link(entry, tick);
  }
  void cancel(std::uint32_t entry) {
    TimerLinks& links = links_.links(entry);
    if (links.slot == TimerLinks::unlinked) {
      return;
    }
    (links.previous == none ? heads_[links.slot] : links_.links(links.previous).next) = links.next;
    if (links.next != none) {
      links_.links(links.next).previous = links.previous;
    }
    if (heads_[links.slot] == none) {
      used_[links.slot / 64U] &= ~(std::uint64_t{1} << (links.slot % 64U));
    }
    links.slot = TimerLinks::unlinked;
    --count_;
  }

  // Calls `due(entry)` for each entry that has been scheduled for `now` or earlier; it is unlinked before.
  template <class Due>
  void advance(Time now, Due&& due) {
    const std::uint64_t until = tick_of(now);
    while (cursor_ < until) {
      const std::uint64_t next = next_tick();
      if (next > until) {
        cursor_ = until;
        return;
      }
      cursor_ = next;
      if (cursor_ % per_level == 0) {
        if (cursor_ / per_level % per_level == 0) {
          cascade(2 * per_level + cursor_ / (per_level * per_level) % per_level);
        }
        cascade(per_level + cursor_ / per_level % per_level);
      }
      const std::size_t slot = cursor_ % per_level;
      while (heads_[slot] != none) {
        const std::uint32_t entry = heads_[slot];
        cancel(entry);
        due(entry);
      }
    }
  }

  // When advance() has something to do: an entry to call, or to put into a finer slot.
  [[nodiscard]] Time earliest() const {
    const std::uint64_t next = next_tick();
    return next == no_tick ? never : Time{std::chrono::milliseconds{static_cast<std::int64_t>(next)}};
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  static constexpr std::uint32_t none = 0xffffffffU;
  static constexpr std::uint64_t no_tick = ~std::uint64_t{0};
  static constexpr std::uint64_t per_level = 256;

  [[nodiscard]] static std::uint64_t tick_of(Time time) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
  }

  void link(std::uint32_t entry, std::uint64_t tick) {
    const std::uint64_t distance = tick - cursor_;
    const std::uint64_t slot = distance < per_level ? tick % per_level
                               : distance < per_level * per_level
                                   ? per_level + tick / per_level % per_level
                                   : 2 * per_level + tick / (per_level * per_level) % per_level;
    TimerLinks& links = links_.links(entry);
    links.tick = static_cast<std::uint32_t>(tick);
    links.slot = static_cast<std::uint16_t>(slot);
    links.previous = none;
    links.next = heads_[slot];
    if (links.next != none) {
      links_.links(links.next).previous = entry;
    }
    heads_[slot] = entry;
    used_[slot / 64] |= std::uint64_t{1} << (slot % 64);
    ++count_;
  }

  // Puts the entries of a coarse slot whose time has come into finer ones.
  void cascade(std::uint64_t slot) {
    while (heads_[slot] != none) {
      const std::uint32_t entry = heads_[slot];
      const auto tick =
          cursor_ + static_cast<std::uint32_t>(links_.links(entry).tick - static_cast<std::uint32_t>(cursor_));
      cancel(entry);
      link(entry, tick);
    }
  }

  // The distance in slots from `from` (exclusive) to the next used one of a level; per_level + 1 when there is none.
  [[nodiscard]] std::uint64_t next_used(std::uint64_t level, std::uint64_t from) const {
    for (std::uint64_t step = 1; step <= per_level;) {
      const std::uint64_t slot = (from + step) % per_level;
      const std::uint64_t word = used_[level * 4 + slot / 64] >> (slot % 64);
      if (word != 0) {
        return step + static_cast<std::uint64_t>(std::countr_zero(word));
      }
      step += 64 - slot % 64;
    }
    return per_level + 1;
  }

  [[nodiscard]] std::uint64_t next_tick() const {
    std::uint64_t earliest = no_tick;
    std::uint64_t unit = 1;
    for (std::uint64_t level = 0; level < 3 && count_ != 0; ++level, unit *= per_level) {
      const std::uint64_t position = cursor_ / unit;
      if (const std::uint64_t step = next_used(level, position % per_level); step <= per_level) {
        earliest = std::min(earliest, (position + step) * unit);
      }
    }
    return earliest;
  }

  Links& links_;
  std::uint64_t cursor_;  // the tick up to which all is done
  std::size_t count_ = 0;
  std::array<std::uint32_t, 3 * per_level> heads_{};
  std::array<std::uint64_t, 12> used_{};  // a bit for each slot that is not empty
};

}  // namespace steelyard::tcp

#include "tests/simulation/link.h"

#include <algorithm>
#include <utility>

namespace steelyard::simulation {

void Link::add(Packet packet, Time at) {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(packets_.size());
    packets_.push_back(std::move(packet));
  } else {
    slot = free_.back();
    free_.pop_back();
    packets_[slot] = std::move(packet);
  }
  heap_.push_back({at, order_++, slot});
  std::push_heap(heap_.begin(), heap_.end());
}

Packet Link::take() {
  std::pop_heap(heap_.begin(), heap_.end());
  const std::uint32_t slot = heap_.back().slot;
  heap_.pop_back();
  free_.push_back(slot);
  return std::move(packets_[slot]);
}

Fate Link::send_one(std::uint8_t to, std::vector<std::uint8_t> bytes, Time now) {
  const std::uint64_t length = bytes.size() + headers_;
  Time departs = now;
  if (plan_.rate != 0) {
    const auto time_for = [&](std::uint64_t octets) {
      return Duration{static_cast<Duration::rep>(octets * 1'000'000U / plan_.rate)};
    };
    Time& busy_until = busy_until_[to];
    busy_until = std::max(busy_until, now);
    if (busy_until - now > time_for(plan_.queue)) {
      return Fate::overflowed;
    }
    busy_until += time_for(length);
    departs = busy_until;
  }
  if (random_.happens(plan_.loss)) {
    return Fate::lost;
  }
  const Time arrives = departs + plan_.delay + random_.up_to(plan_.jitter);
  if (now >= plan_.narrow_at && length > plan_.mtu) {
    if (!random_.happens(plan_.loss)) {
      add({Packet::Kind::path_mtu, static_cast<std::uint8_t>(1 - to), plan_.mtu, std::move(bytes)}, arrives);
    }
    return Fate::too_long;
  }
  const bool corrupted = random_.happens(plan_.corruption);
  if (corrupted) {
    bytes[random_.below(bytes.size())] ^= static_cast<std::uint8_t>(1U << random_.below(8));
  }
  add({Packet::Kind::segment, to, 0, std::move(bytes)}, arrives);
  return corrupted ? Fate::corrupted : Fate::sent;
}

}  // namespace steelyard::simulation

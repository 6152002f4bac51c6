#include "dataplane/schedule/weighted_rotation.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace steelyard::schedule {
namespace {

constexpr std::size_t header_words = 2;  // class and member count
constexpr std::size_t arrays = 9;
// The release and the key of what never comes. Releases are compared as signed numbers, since SSE has no other way.
constexpr std::uint32_t never_released = std::numeric_limits<std::int32_t>::max();
constexpr std::uint32_t never = std::numeric_limits<std::uint32_t>::max();

// A key is a deadline and, below it, the index of its class.
constexpr unsigned index_bits = 7;
constexpr std::uint32_t index_mask = (1U << index_bits) - 1;
static_assert(max_weight <= index_mask);
// The deadline after a cycle's last pick lies within the next cycle.
static_assert(2 * service::max_servers * max_weight < never >> index_bits);

std::uint32_t packed(std::uint32_t deadline, std::uint32_t index) {
  return deadline << index_bits | index;
}

// Four 32-bit words: the baseline's vector registers. GCC and clang both translate this type's operators.
constexpr std::uint32_t vector_words = 4;
using Vector [[gnu::vector_size(vector_words * sizeof(std::uint32_t))]] = std::uint32_t;
using SignedVector [[gnu::vector_size(vector_words * sizeof(std::int32_t))]] = std::int32_t;

template <class Loaded>
Loaded load(const std::uint32_t* words) {
  Loaded vector;
  std::memcpy(&vector, words, sizeof(vector));
  return vector;
}

using ByWeight = std::array<std::uint32_t, max_weight + 1>;

std::size_t whole_vectors(std::size_t classes) {
  return (classes + vector_words - 1) / vector_words * vector_words;
}

std::size_t class_room(std::size_t servers) {
  return whole_vectors(std::min<std::size_t>(servers, max_weight));
}

std::uint32_t narrow(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}

// value * to / from, rounded to the nearest: rounding down would give a server that comes and goes too many turns.
std::uint32_t nearest(std::uint32_t value, std::uint32_t to, std::uint32_t from) {
  return from == 0 ? 0 : narrow((std::uint64_t{value} * to + from / 2) / from);
}

}  // namespace

std::size_t WeightedRotation::words(std::size_t servers) {
  return header_words + arrays * class_room(servers) + servers;
}

WeightedRotation::WeightedRotation(std::span<std::uint32_t> memory, std::size_t servers, RotationPlace& place)
    : place_(place),
      class_count_(memory[0]),
      member_count_(memory[1]),
      stride_(class_room(servers)),
      release_(memory.data() + header_words),
      key_(release_ + stride_),
      excess_(key_ + stride_),
      quotient_(excess_ + stride_),
      remainder_(quotient_ + stride_),
      weight_(remainder_ + stride_),
      begin_(weight_ + stride_),
      size_(begin_ + stride_),
      cursor_(size_ + stride_),
      members_(memory.last(servers)) {}

void WeightedRotation::rebuild(std::span<const std::uint32_t> weights) {
  ByWeight servers{};
  for (const std::uint32_t weight : weights) {
    ++servers[weight];
  }
  const bool carried = take_rates(servers);
  lay_out(servers);
  enter_members(weights);
  if (!carried && class_count_ > 0) {
    seek();
  }
}

// Returns whether a class of before is still there; if none is, the place is only a fraction of a cycle.
bool WeightedRotation::take_rates(std::span<const std::uint32_t> servers_by_weight) {
  const std::uint32_t old_position = place_.position;
  const std::uint32_t old_cycle = place_.cycle;
  std::uint32_t position = 0;
  std::uint32_t cycle = 0;
  bool carried = false;
  for (std::uint32_t weight = 1; weight <= max_weight; ++weight) {
    RotationPlace::Turn& turn = place_.turns[weight];
    const std::uint32_t rate = weight * servers_by_weight[weight];
    if (turn.rate == 0) {
      turn.done = nearest(old_position, rate, old_cycle);
    } else if (turn.rate != rate) {
      turn.done = nearest(turn.done, rate, turn.rate);
    }
    carried = carried || (turn.rate > 0 && rate > 0);
    turn.rate = rate;
    position += turn.done;
    cycle += rate;
  }
  if (!carried) {
    place_.position = cycle == 0 ? old_position : narrow(std::uint64_t{old_position} * cycle / std::max(old_cycle, 1U));
    place_.cycle = cycle == 0 ? old_cycle : cycle;
    return false;
  }
  if (position == cycle) {
    std::ranges::for_each(place_.turns, [](RotationPlace::Turn& turn) { turn.done = 0; });
    position = 0;
  }
  place_.position = position;
  place_.cycle = cycle;
  return true;
}

void WeightedRotation::lay_out(std::span<const std::uint32_t> servers_by_weight) {
  class_count_ = 0;
  member_count_ = 0;
  for (std::uint32_t weight = max_weight; weight > 0; --weight) {
    if (const std::uint32_t servers = servers_by_weight[weight]; servers > 0) {
      const std::uint32_t index = class_count_++;
      weight_[index] = weight;
      begin_[index] = member_count_;
      size_[index] = servers;
      quotient_[index] = place_.cycle / (weight * servers);
      remainder_[index] = place_.cycle % (weight * servers);
      member_count_ += servers;
      set_window(index, place_.turns[weight].done);
    }
  }
  std::fill(release_ + class_count_, release_ + whole_vectors(class_count_), never_released);
  std::fill(key_ + class_count_, key_ + whole_vectors(class_count_), never);
}

void WeightedRotation::enter_members(std::span<const std::uint32_t> weights) {
  ByWeight free{};
  for (std::uint32_t index = 0; index < class_count_; ++index) {
    free[weight_[index]] = begin_[index];
  }
  for (std::uint32_t server = 0; server < weights.size(); ++server) {
    if (weights[server] > 0) {
      members_[free[weights[server]]++] = server;
    }
  }
  for (std::uint32_t index = 0; index < class_count_; ++index) {
    const auto members = members_.subspan(begin_[index], size_[index]);
    const auto turn = std::ranges::lower_bound(members, place_.turns[weight_[index]].next);
    cursor_[index] = turn == members.end() ? 0 : narrow(static_cast<std::uint64_t>(turn - members.begin()));
  }
}

// Lets every class have had what it would have at this position from a cycle's start: floor(t*W/T) picks, and what is
// missing to t is given to those whose next pick was released and ends first, which leaves the later ones most room.
void WeightedRotation::seek() {
  std::uint64_t missing = place_.position;
  for (std::uint32_t index = 0; index < class_count_; ++index) {
    RotationPlace::Turn& turn = place_.turns[weight_[index]];
    turn.done = narrow(std::uint64_t{place_.position} * turn.rate / place_.cycle);
    missing -= turn.done;
    set_window(index, turn.done);
  }
  for (; missing > 0; --missing) {
    advance(earliest(place_.position - 1));
  }
}

void WeightedRotation::set_window(std::uint32_t index, std::uint64_t done) {
  const std::uint64_t cycle = place_.cycle;
  const std::uint64_t rate = place_.turns[weight_[index]].rate;
  release_[index] = narrow((done * cycle + rate - 1) / rate);
  const std::uint64_t deadline = ((done + 1) * cycle + rate - 1) / rate;
  key_[index] = packed(narrow(deadline), index);
  excess_[index] = narrow(deadline * rate - (done + 1) * cycle);
}

// One pass without a branch on the data: what is not released yet counts as never.
std::uint32_t WeightedRotation::earliest(std::uint32_t slot) const {
  const auto now = static_cast<std::int32_t>(slot);
  Vector best = Vector{} + never;
  for (std::uint32_t first = 0; first < class_count_; first += vector_words) {
    const SignedVector unreleased = load<SignedVector>(release_ + first) > now;  // all ones, or zero
    const Vector candidate = load<Vector>(key_ + first) | reinterpret_cast<Vector>(unreleased);
    best = candidate < best ? candidate : best;
  }
  return std::min(std::min(best[0], best[1]), std::min(best[2], best[3])) & index_mask;
}

void WeightedRotation::advance(std::uint32_t index) {
  RotationPlace::Turn& turn = place_.turns[weight_[index]];
  ++turn.done;
  const bool carry = remainder_[index] > excess_[index];
  release_[index] = key_[index] >> index_bits;
  key_[index] = packed(release_[index] + quotient_[index] + (carry ? 1 : 0), index);
  excess_[index] += (carry ? turn.rate : 0) - remainder_[index];
}

std::uint32_t WeightedRotation::pick() {
  const std::uint32_t index = earliest(place_.position);
  advance(index);
  place_.last = begin_[index] + cursor_[index];
  cursor_[index] = cursor_[index] + 1 == size_[index] ? 0 : cursor_[index] + 1;
  if (++place_.position == place_.cycle) {
    // Every class has had exactly its rate: the next release of all is the first slot of the next cycle.
    for (std::uint32_t each = 0; each < class_count_; ++each) {
      release_[each] -= place_.cycle;
      key_[each] -= place_.cycle << index_bits;
      place_.turns[weight_[each]].done = 0;
    }
    place_.position = 0;
  }
  const std::uint32_t server = members_[place_.last];
  place_.turns[weight_[index]].next = server + 1;
  place_.next_server = server + 1;
  return server;
}

}  // namespace steelyard::schedule

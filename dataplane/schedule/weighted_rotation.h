// Smooth weighted round robin, exact over every cycle, at a cost that does not depend on the number of servers. It
// never rounds a share: all arithmetic is on integers, and a cycle ends where it began.
//
// Servers of equal weight form a class and take turns inside it. A class of n servers of weight w has the rate
// W = w * n; the cycle is T, the sum of the rates. Counting picks as time, the x-th pick of a class (from 0) may happen
// in slots [ceil(x*T/W), ceil((x+1)*T/W)), its release and its deadline; among the released classes the one with the
// earliest deadline is picked (the heavier one among equals). Such unit jobs always fit: whatever begins in slot a or
// later and ends before b amounts to sum(floor(b*W/T) - floor((a-1)*W/T) - 1) < b - a + 1 slots. Therefore
//   - in any T picks in a row a server of weight w is picked exactly w times;
//   - after t picks of a cycle a class has had floor(t*W/T) of them or one more: nobody is served in bursts.
// (Release and deadline after Baruah et al., "Proportionate progress", Algorithmica 15, 1996. Deadlines without
// releases would be simpler, but give a server of weight 100 among thirteen of 1..13 eight picks in a row.)
//
// There are at most 100 classes as weights are 1..100, so the earliest is found by a scan of two arrays of 32-bit
// numbers in vector registers, without a mispredicted branch (a heap has one at every second level). A deadline stands
// above its class's index in one number, so the least of those is the answer: 60 classes take 15 steps of four
// instructions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/service/ids.h"

namespace steelyard::schedule {

inline constexpr std::uint32_t max_weight = 100;

// What outlives the memory of a rotation, so that a reload after every third connection still gives each server its
// share. All zero is a rotation that was never built.
struct RotationPlace {
  struct Turn {
    std::uint32_t rate = 0;  // of the class of this weight; 0: no such class
    std::uint32_t done = 0;  // its picks since the cycle began, <= rate
    std::uint32_t next = 0;  // the turn is the first member's with at least this index, else the very first one's
  };
  std::uint32_t position = 0;     // picks since the cycle began, < cycle; the sum of all done
  std::uint32_t cycle = 0;        // its length, the sum of all rates; both are kept while no server is usable
  std::uint32_t last = 0;         // where in members() the last pick was
  std::uint32_t next_server = 0;  // index after the last picked one
  std::array<Turn, max_weight + 1> turns{};  // by weight
};

// A view of the words that hold a rotation; made on the spot for every operation. Not thread-safe.
class WeightedRotation {
 public:
  [[nodiscard]] static std::size_t words(std::size_t servers);

  // `memory` has words(servers) words; rebuild() comes before all other operations on it.
  WeightedRotation(std::span<std::uint32_t> memory, std::size_t servers, RotationPlace& place);

  // Takes the weights of all servers, each 0..100; 0 is left out. Every class that stays keeps its progress through the
  // cycle (as a fraction, when its size changes) and its turn; a new one gets the progress of the whole.
  void rebuild(std::span<const std::uint32_t> weights);

  // The index of the next server. There must be a usable one.
  [[nodiscard]] std::uint32_t pick();

  // The usable servers in the order of their classes.
  [[nodiscard]] std::span<const std::uint32_t> members() const { return members_.first(member_count_); }

 private:
  [[nodiscard]] bool take_rates(std::span<const std::uint32_t> servers_by_weight);
  void lay_out(std::span<const std::uint32_t> servers_by_weight);
  void enter_members(std::span<const std::uint32_t> weights);
  void seek();
  void set_window(std::uint32_t index, std::uint64_t done);
  [[nodiscard]] std::uint32_t earliest(std::uint32_t slot) const;
  void advance(std::uint32_t index);

  RotationPlace& place_;
  std::uint32_t& class_count_;
  std::uint32_t& member_count_;
  std::size_t stride_;  // room for classes, a whole number of vectors
  // Per class, heaviest first. Up to the next whole vector, unused ones have a release and a key that never come.
  std::uint32_t* release_;
  std::uint32_t* key_;        // deadline and index, packed
  std::uint32_t* excess_;     // deadline * W - (x + 1) * T: what the deadline was rounded up by
  std::uint32_t* quotient_;   // T / W
  std::uint32_t* remainder_;  // T % W
  std::uint32_t* weight_;
  std::uint32_t* begin_;   // of the class in the members
  std::uint32_t* size_;    // number of members
  std::uint32_t* cursor_;  // whose turn it is, 0 <= cursor < size
  std::span<std::uint32_t> members_;
};

}  // namespace steelyard::schedule

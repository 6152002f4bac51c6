// What has come out of order: pieces of payload, sorted, without overlaps. Of octets that come twice the first copy
// wins, so that nobody who guesses a sequence number can change what is already held. Bounded by the buffers that are
// held and not by their bytes: a segment of one byte pins a whole buffer. RFC 9293 section 3.10.7.4, RFC 2018 section
// 4, RFC 2883 section 4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/options.h"

namespace steelyard::tcp {

class Reassembly {
 public:
  struct Added {
    bool complete = true;  // false: something found no room, and must not be acknowledged by SACK (it is not)
    SackBlock duplicate;   // the first octets that were here already; empty when there were none
  };

  [[nodiscard]] bool empty() const { return first_ == no_node; }
  [[nodiscard]] std::size_t held() const { return held_; }
  // Octets of the buffers held, as large as buffers usually are.
  [[nodiscard]] std::uint32_t octets_held() const { return held_ * 2'048U; }

  // Adds what is new of `payload`, whose first octet is `begin`, as long as no more than `most_held` buffers are held;
  // its reference is taken over in any case.
  [[nodiscard]] Added add(Memory& memory, Sequence begin, const Slice& payload, std::size_t most_held);

  // The octets from `next`, which is not behind the first piece, to that piece. No limit when nothing is
  // held.
  [[nodiscard]] std::uint32_t room_before(const Memory& memory, Sequence next) const {
    return first_ == no_node ? 0xffffffffU : packet::distance(next, memory[first_].begin);
  }

  // Removes and returns the piece that begins at `next`; its reference is the caller's.
  [[nodiscard]] std::optional<Slice> take(Memory& memory, Sequence next);

  // The blocks held, the one touched last first, then the ones touched before it (RFC 2018 section 4). Returns how
  // many.
  [[nodiscard]] std::uint8_t blocks(const Memory& memory, std::array<SackBlock, max_sack_blocks>& to) const;

  // Gives everything back.
  void clear(Memory& memory);

 private:
  [[nodiscard]] bool insert(Memory& memory, Sequence begin, const Slice& slice, NodeIndex before);

  NodeIndex first_ = no_node;
  NodeIndex last_ = no_node;
  std::uint32_t stamp_ = 0;
  std::uint32_t held_ = 0;
};
static_assert(sizeof(Reassembly) == 16);

}  // namespace steelyard::tcp

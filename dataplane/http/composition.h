// A head in the making: written into buffers of ours, to be sent.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "dataplane/http/ground.h"
#include "dataplane/http/writer.h"

namespace steelyard::http {

class Composition final : private Rooms {
 public:
  // A head of the largest allowed size and what is added to it, in buffers of two kilobytes.
  static constexpr std::size_t most_rooms = 48;
  using Slices = std::array<tcp::Slice, most_rooms>;

  // `slices` is where it keeps them: not in here, where clearing them would cost as much as a head.
  Composition(Ground& ground, Slices& slices) : ground_(ground), writer_(*this), slices_(slices) {}
  Composition(const Composition&) = delete;
  Composition& operator=(const Composition&) = delete;
  ~Composition() {
    for (const tcp::Slice& slice : std::span(slices_).first(count_)) {
      ground_.memory().release(slice);
    }
  }

  [[nodiscard]] HeadWriter& writer() { return writer_; }
  // False: there was no room, and what is written is of no use.
  [[nodiscard]] bool complete() const { return writer_.complete(); }
  // What has been written; its references are the caller's.
  [[nodiscard]] std::span<const tcp::Slice> take() {
    if (count_ != 0) {
      slices_[count_ - 1].length -= static_cast<std::uint32_t>(writer_.unused());
    }
    return std::span(slices_).first(std::exchange(count_, 0));
  }

 private:
  [[nodiscard]] std::span<std::uint8_t> more() override {
    if (count_ == most_rooms) {
      return {};
    }
    const auto room = ground_.allocate();
    if (!room) {
      return {};
    }
    slices_[count_] = room->slice;
    slices_[count_].length = static_cast<std::uint32_t>(room->octets.size());
    ++count_;
    return room->octets;
  }

  Ground& ground_;
  HeadWriter writer_;
  Slices& slices_;
  std::size_t count_ = 0;
};

}  // namespace steelyard::http

#include "control/runtime/tap_board.h"

#include <cstring>

namespace steelyard::control {

tl::expected<std::shared_ptr<worker::Tap>, std::string> TapBoard::add(const worker::TapFilter& filter,
                                                                      std::uint32_t snaplen, std::size_t ring_bytes) {
  if (taps_.size() == worker::Taps::most) {
    return tl::unexpected("there are " + std::to_string(worker::Taps::most) +
                          " traces and captures already, which is all there may be; end one of them");
  }
  taps_.push_back(std::make_shared<worker::Tap>(filter, snaplen, workers_, ring_bytes));
  publish();
  return taps_.back();
}

void TapBoard::remove(const std::shared_ptr<worker::Tap>& tap) {
  if (std::erase(taps_, tap) != 0) {
    publish();
  }
}

void TapBoard::publish() const {
  publish_(taps_.empty() ? nullptr : std::make_shared<const worker::Taps>(worker::Taps{taps_}));
}

void Watch::end() {
  if (!over_) {
    over_ = true;
    board_.remove(tap_);
  }
}

std::span<const std::byte> Watch::front() {
  std::span<const std::byte> oldest;
  std::uint64_t oldest_time = 0;
  for (const auto& ring : tap_->rings) {
    const auto record = ring->front();
    std::uint64_t time = 0;
    if (!record.empty()) {
      std::memcpy(&time, record.data(), sizeof time);
    }
    if (!record.empty() && (oldest.empty() || time < oldest_time)) {
      oldest = record;
      oldest_time = time;
      front_of_ = ring.get();
    }
  }
  return oldest;
}

std::uint64_t Watch::lost() const {
  std::uint64_t lost = 0;
  for (const auto& ring : tap_->rings) {
    lost += ring->lost();
  }
  return lost;
}

}  // namespace steelyard::control

// A board of taps without workers: the test fills the rings itself.
#pragma once

#include <gmock/gmock.h>

#include <cstring>
#include <memory>

#include "control/runtime/tap_board.h"
#include "control/runtime/trace_stream.h"

namespace steelyard::control::testing {

class TapFixture : public ::testing::Test {
 protected:
  static constexpr std::size_t workers = 2;

  template <class Record>
  static void push(worker::Tap& tap, std::size_t worker, const Record& record, std::string_view more = {}) {
    const auto room = tap.rings[worker]->reserve(sizeof record + more.size());
    if (!room.empty()) {
      std::memcpy(room.data(), &record, sizeof record);
      if (!more.empty()) {
        std::memcpy(room.data() + sizeof record, more.data(), more.size());
      }
      tap.rings[worker]->commit();
    }
  }
  std::shared_ptr<worker::Tap> add(std::uint32_t snaplen = 0, std::size_t ring_bytes = 1'024) {
    return board_.add({service::Prefix::parse("198.51.100.7"), std::nullopt}, snaplen, ring_bytes).value();
  }
  // The workers' time 0 is 2024-05-01T10:00:00Z.
  static WallClock wall() {
    return [](std::uint64_t ns) {
      return std::chrono::system_clock::from_time_t(1'714'557'600) +
             std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(ns));
    };
  }
  static std::chrono::steady_clock::time_point never() { return std::chrono::steady_clock::time_point::max(); }

  std::shared_ptr<const worker::Taps> published_;
  TapBoard board_{workers, [this](std::shared_ptr<const worker::Taps> taps) { published_ = std::move(taps); }};
};

}  // namespace steelyard::control::testing

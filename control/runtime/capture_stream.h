// A listener's packets as a pcapng file in pieces, base64 inside JSON lines: the client writes the file, with its own
// rights and where it may. Control thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/admin/admin_stream.h"
#include "control/runtime/pcapng.h"
#include "control/runtime/tap_board.h"
#include "control/runtime/trace_stream.h"

namespace steelyard::control {

struct CaptureLimits {
  std::chrono::steady_clock::time_point until;
  std::uint64_t packets;
  std::uint64_t bytes;  // of the file, about
};

class CaptureStream final : public AdminStream {
 public:
  // `tap` is a tap of packets; `interfaces` are the ports' names.
  CaptureStream(TapBoard& board, std::shared_ptr<worker::Tap> tap, CaptureLimits limits, WallClock wall,
                const std::vector<std::string>& interfaces);

  // {"pcapng": base64, "packets": so far, "lost": so far}; at the end {"end": {"packets", "bytes", "lost"}}.
  [[nodiscard]] std::optional<boost::json::value> next() override;
  [[nodiscard]] bool ended() const override { return said_end_; }
  void stop() override { watch_.end(); }

 private:
  void take_packets();
  [[nodiscard]] bool enough() const { return packets_ == limits_.packets || bytes_ >= limits_.bytes; }
  [[nodiscard]] std::uint64_t to_wall_ns(std::uint64_t worker_ns) const;

  std::uint32_t snaplen_;
  Watch watch_;
  CaptureLimits limits_;
  WallClock wall_;
  PcapngBlocks blocks_;
  std::vector<std::uint64_t> by_interface_;  // packets
  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t last_time_ns_ = 0;
  bool said_statistics_ = false;
  bool said_end_ = false;
};

}  // namespace steelyard::control

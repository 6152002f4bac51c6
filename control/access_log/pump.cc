#include "control/access_log/pump.h"

#include <utility>

namespace steelyard::control::access_log {
namespace {

constexpr std::chrono::seconds between_reports{1};

}  // namespace

void Pump::set_sink(std::optional<Sink> sink) {
  if (sink_) {
    sink_->flush();
    sink_->discard();
    lost_in_former_ += sink_->lost();
    error_ = sink_->take_error();
  }
  sink_ = std::move(sink);
}

void Pump::reopen() {
  if (sink_) {
    sink_->reopen();
  }
}

std::size_t Pump::turn(const RecordNames& names, Time now) {
  std::size_t taken = 0;
  http::AccessRecord record;
  for (worker::AccessRing* ring : rings_) {
    for (std::size_t of_ring = 0; of_ring < most_records && ring->pop(record); ++of_ring) {
      ++taken;
      if (sink_) {
        line_.clear();
        format_.append(line_, {record, names});
        sink_->add(line_);
        ++written_;
      }
    }
  }
  if (sink_) {
    sink_->flush();
  }
  if (now >= next_report_) {
    next_report_ = now + between_reports;
    report_lost();
  }
  return taken;
}

void Pump::finish() {
  set_sink(std::nullopt);
  report_lost();
}

std::uint64_t Pump::lost_in_rings() const {
  std::uint64_t lost = 0;
  for (const worker::AccessRing* ring : rings_) {
    lost += ring->lost();
  }
  return lost;
}

void Pump::report_lost() {
  const std::uint64_t in_rings = lost_in_rings();
  const std::uint64_t in_sinks = lost_in_sinks();
  if (const std::error_code error = sink_ ? sink_->take_error() : std::error_code()) {
    error_ = error;
  }
  if (in_rings != reported_in_rings_ || in_sinks != reported_in_sinks_ || error_) {
    report_({in_rings - reported_in_rings_, in_sinks - reported_in_sinks_, std::exchange(error_, {})});
    reported_in_rings_ = in_rings;
    reported_in_sinks_ = in_sinks;
  }
}

}  // namespace steelyard::control::access_log

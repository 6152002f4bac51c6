// Empties the workers' rings of records into the access log. What the pump asks for is a turn every few milliseconds;
// access_log.h gives it a thread. Log thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "control/access_log/format.h"
#include "control/access_log/sink.h"
#include "dataplane/worker/access_ring.h"

namespace steelyard::control::access_log {

// Lines that the log does not have, since the report before. Without any: a file could not be opened anew.
struct LostLines {
  std::uint64_t in_rings = 0;   // workers were faster than the log
  std::uint64_t in_outlet = 0;  // the outlet was slower than the log, or failed
  std::error_code error;        // its last failure
};
using ReportLost = std::function<void(const LostLines&)>;

class Pump {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // The rings, by worker, outlive it.
  Pump(std::vector<worker::AccessRing*> rings, ReportLost report)
      : rings_(std::move(rings)), report_(std::move(report)) {}

  // Without a sink records are taken and forgotten. What the old one still has and does not take at once is lost.
  void set_sink(std::optional<Sink> sink);
  void set_format(LineFormat format) { format_ = std::move(format); }
  void reopen();

  // Takes at most `most_records` of each ring, hands lines on, and reports what was lost once a second. How many
  // records there were. Records of a worker keep their order, those of different ones are not put in order.
  std::size_t turn(const RecordNames& names, Time now);
  static constexpr std::size_t most_records = 1'024;
  // At the end: reports what is left to be reported, and counts what is still buffered as lost.
  void finish();

  // Has the outlet taken everything?
  [[nodiscard]] bool empty() const { return !sink_ || sink_->empty(); }
  // Lines since the beginning: given to a sink, and lost there or before.
  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_in_rings() + lost_in_sinks(); }

 private:
  [[nodiscard]] std::uint64_t lost_in_rings() const;
  [[nodiscard]] std::uint64_t lost_in_sinks() const { return lost_in_former_ + (sink_ ? sink_->lost() : 0); }
  void report_lost();

  std::vector<worker::AccessRing*> rings_;
  ReportLost report_;
  LineFormat format_;
  std::optional<Sink> sink_;
  std::string line_;
  std::uint64_t written_ = 0;
  std::uint64_t lost_in_former_ = 0;  // sinks that are gone
  std::uint64_t reported_in_rings_ = 0;
  std::uint64_t reported_in_sinks_ = 0;
  std::error_code error_;
  Time next_report_{};
};

}  // namespace steelyard::control::access_log

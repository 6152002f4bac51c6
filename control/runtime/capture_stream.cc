#include "control/runtime/capture_stream.h"

#include <boost/json/object.hpp>
#include <cstring>

#include "control/admin/base64.h"
#include "control/version.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;

// Of the file in a line: base64 and JSON take some 0.2 ms for it.
constexpr std::size_t piece = 48 * 1'024;

}  // namespace

CaptureStream::CaptureStream(TapBoard& board, std::shared_ptr<worker::Tap> tap, CaptureLimits limits, WallClock wall,
                             const std::vector<std::string>& interfaces)
    : snaplen_(tap->snaplen),
      watch_(board, std::move(tap)),
      limits_(limits),
      wall_(std::move(wall)),
      by_interface_(interfaces.size()) {
  blocks_.begin("steelyard " + std::string(version));
  for (const std::string& name : interfaces) {
    blocks_.add_interface(name, snaplen_);
  }
}

std::uint64_t CaptureStream::to_wall_ns(std::uint64_t worker_ns) const {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(wall_(worker_ns).time_since_epoch()).count());
}

void CaptureStream::take_packets() {
  while (!enough() && blocks_.size() < piece) {
    const auto record = watch_.front();
    worker::PacketCopy head;
    if (record.size() < sizeof head) {
      return;
    }
    std::memcpy(&head, record.data(), sizeof head);
    const std::size_t before = blocks_.size();
    last_time_ns_ = to_wall_ns(head.time_ns);
    blocks_.add({last_time_ns_, head.link, head.length, head.outbound, record.subspan(sizeof head)});
    watch_.pop();
    ++packets_;
    ++by_interface_[head.link];
    bytes_ += blocks_.size() - before;
  }
}

std::optional<json::value> CaptureStream::next() {
  if (said_end_) {
    return std::nullopt;
  }
  if (enough() || std::chrono::steady_clock::now() >= limits_.until) {
    watch_.end();
  }
  take_packets();
  // What is lost is lost to no interface in particular: the first one bears it.
  if (blocks_.size() == 0 && watch_.over() && !said_statistics_) {
    said_statistics_ = true;
    for (std::size_t place = 0; place < by_interface_.size(); ++place) {
      blocks_.add_statistics(static_cast<std::uint32_t>(place), last_time_ns_, by_interface_[place],
                             place == 0 ? watch_.lost() : 0);
    }
  }
  if (blocks_.size() != 0) {
    return json::object{{"pcapng", to_base64(blocks_.take())}, {"packets", packets_}, {"lost", watch_.lost()}};
  }
  if (!watch_.over()) {
    return std::nullopt;
  }
  said_end_ = true;
  return json::object{{"end", json::object{{"packets", packets_}, {"lost", watch_.lost()}}}};
}

}  // namespace steelyard::control

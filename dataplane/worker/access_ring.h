// What a worker tells of requests that are over, on its way to the access log: a ring of one worker that control's log
// empties. Records are copied whole: 450 bytes, an eighth of what forwarding the smallest request touches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dataplane/http/access_record.h"
#include "dataplane/worker/record_ring.h"

namespace steelyard::worker {

class AccessRing {
 public:
  // `bytes`: a power of two. Throws std::bad_alloc. Any thread.
  explicit AccessRing(std::size_t bytes) : ring_(bytes) {}

  // Worker: false, and counted as lost, when there is no room.
  bool push(const http::AccessRecord& record) {
    const auto room = ring_.reserve(sizeof record);
    if (room.empty()) {
      return false;
    }
    std::memcpy(room.data(), &record, sizeof record);
    ring_.commit();
    return true;
  }
  // Consumer: takes the oldest record; false when there is none.
  [[nodiscard]] bool pop(http::AccessRecord& record) {
    const auto front = ring_.front();
    if (front.empty()) {
      return false;
    }
    std::memcpy(&record, front.data(), sizeof record);
    ring_.pop();
    return true;
  }
  // Any thread.
  [[nodiscard]] std::uint64_t lost() const { return ring_.lost(); }

 private:
  static_assert(std::is_trivially_copyable_v<http::AccessRecord>);
  RecordRing ring_;
};

}  // namespace steelyard::worker

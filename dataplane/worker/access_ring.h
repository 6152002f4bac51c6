// Access records on their way from a worker to the control side: one producer, one consumer, records by value. The
// producer never waits: a record that finds no room is lost, and counted.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/http/access_record.h"
#include "dataplane/service/counter.h"

namespace steelyard::worker {

class AccessRing {
 public:
  // `records`: a power of two. Allocates here and nowhere else. Throws std::bad_alloc. Any thread.
  explicit AccessRing(std::size_t records)
      : records_(std::make_unique<http::AccessRecord[]>(records)), mask_(records - 1) {}

  // Producer. False: it is lost.
  bool push(const http::AccessRecord& record) {
    const std::uint64_t written = written_.load(std::memory_order_relaxed);
    if (written - read_.load(std::memory_order_acquire) > mask_) {
      lost_.add();
      return false;
    }
    records_[written & mask_] = record;
    written_.store(written + 1, std::memory_order_release);
    return true;
  }

  // Consumer: the oldest record, valid until pop(); null when there is none.
  [[nodiscard]] const http::AccessRecord* front() const {
    const std::uint64_t read = read_.load(std::memory_order_relaxed);
    return read == written_.load(std::memory_order_acquire) ? nullptr : &records_[read & mask_];
  }
  // Consumer: gives the room of front() back.
  void pop() { read_.store(read_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // Any thread.
  [[nodiscard]] std::uint64_t lost() const { return lost_.get(); }

 private:
  std::unique_ptr<http::AccessRecord[]> records_;
  std::uint64_t mask_;
  service::Counter lost_;
  // Records since the beginning; each end's on a line of its own.
  alignas(64) std::atomic<std::uint64_t> written_{0};
  alignas(64) std::atomic<std::uint64_t> read_{0};
};

}  // namespace steelyard::worker

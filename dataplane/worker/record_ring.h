// A bounded ring of records of different sizes between two threads, one at each end: what a worker tells about packets
// while somebody looks. The producer never waits: a record that does not fit is lost, and counted.
//
//   | size:4 unused:4 | record, padded to 8 | size ... | ... | skip |     a record never wraps round the end: what does
//                                                                        not fit there begins at the front again
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "dataplane/service/counter.h"

namespace steelyard::worker {

class RecordRing {
 public:
  // `bytes`: a power of two, 4 GiB at most. Throws std::bad_alloc. Any thread.
  explicit RecordRing(std::size_t bytes)
      : memory_(std::make_unique_for_overwrite<std::uint64_t[]>(bytes / 8)), mask_(bytes - 1) {}

  // Producer: would a record find room? If not, it is counted as lost.
  [[nodiscard]] bool has_room(std::size_t size) {
    const std::uint64_t written = written_.load(std::memory_order_relaxed);
    if (header + padded(size) + skipped_at(written, size) <=
        capacity() - (written - read_.load(std::memory_order_acquire))) {
      return true;
    }
    lost_.add();
    return false;
  }
  // Producer: room for a record, to be filled in before commit(); empty, and counted, when there is none.
  [[nodiscard]] std::span<std::byte> reserve(std::size_t size) {
    if (!has_room(size)) {
      return {};
    }
    const std::uint64_t written = written_.load(std::memory_order_relaxed);
    const std::size_t skipped = skipped_at(written, size);
    if (skipped != 0) {
      store_size(written, skip);
    }
    reserved_ = written + skipped;
    store_size(reserved_, static_cast<std::uint32_t>(size));
    return {at(reserved_) + header, size};
  }
  // Producer: what reserve() has returned last is complete.
  void commit() { written_.store(reserved_ + header + padded(load_size(reserved_)), std::memory_order_release); }

  // Consumer: the oldest record, valid until pop(); empty when there is none.
  [[nodiscard]] std::span<const std::byte> front() {
    std::uint64_t read = read_.load(std::memory_order_relaxed);
    if (read == written_.load(std::memory_order_acquire)) {
      return {};
    }
    if (load_size(read) == skip) {
      read += capacity() - (read & mask_);
      read_.store(read, std::memory_order_release);
    }
    return {at(read) + header, load_size(read)};
  }
  // Consumer: gives the room of front() back.
  void pop() {
    const std::uint64_t read = read_.load(std::memory_order_relaxed);
    read_.store(read + header + padded(load_size(read)), std::memory_order_release);
  }

  // Any thread.
  [[nodiscard]] std::uint64_t lost() const { return lost_.get(); }

 private:
  static constexpr std::size_t header = 8;
  static constexpr std::uint32_t skip = 0xffffffffU;

  [[nodiscard]] std::size_t capacity() const { return mask_ + 1; }
  [[nodiscard]] static std::size_t padded(std::size_t size) { return (size + 7) & ~std::size_t{7}; }
  // Bytes up to the end that are too few for a record.
  [[nodiscard]] std::size_t skipped_at(std::uint64_t position, std::size_t size) const {
    const std::size_t to_end = capacity() - (position & mask_);
    return header + padded(size) > to_end ? to_end : 0;
  }
  [[nodiscard]] std::byte* at(std::uint64_t position) const {
    return reinterpret_cast<std::byte*>(memory_.get()) + (position & mask_);
  }
  void store_size(std::uint64_t position, std::uint32_t size) { std::memcpy(at(position), &size, sizeof size); }
  [[nodiscard]] std::uint32_t load_size(std::uint64_t position) const {
    std::uint32_t size = 0;
    std::memcpy(&size, at(position), sizeof size);
    return size;
  }

  std::unique_ptr<std::uint64_t[]> memory_;
  std::uint64_t mask_;
  std::uint64_t reserved_ = 0;  // the producer's
  service::Counter lost_;
  // Bytes since the beginning; each end's on a line of its own.
  alignas(64) std::atomic<std::uint64_t> written_{0};
  alignas(64) std::atomic<std::uint64_t> read_{0};
};

}  // namespace steelyard::worker

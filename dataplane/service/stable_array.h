// An array indexed by a stable id that grows without ever moving: address space for the largest id is reserved at once,
// memory is committed by the control side before an id is published, so that a worker's first access to an element is
// no page fault. Elements are zero-initialised and never destroyed one by one.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace steelyard::service {

template <class Element>
class StableArray {
  static_assert(std::is_trivially_destructible_v<Element>);

 public:
  // Throws std::bad_alloc when the address space cannot be had.
  explicit StableArray(std::size_t capacity) : capacity_(capacity) {
    void* memory = mmap(nullptr, capacity * sizeof(Element), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    elements_ = static_cast<Element*>(memory);
  }
  ~StableArray() {
    if (elements_ != nullptr) {
      munmap(elements_, capacity_ * sizeof(Element));
    }
  }
  StableArray(StableArray&& other) noexcept
      : elements_(std::exchange(other.elements_, nullptr)), capacity_(other.capacity_), committed_(other.committed_) {}
  StableArray& operator=(StableArray&&) = delete;
  StableArray(const StableArray&) = delete;
  StableArray& operator=(const StableArray&) = delete;

  // Makes the elements below `count` real. Control side only, before their ids are published.
  void commit(std::size_t count) {
    for (; committed_ < count; ++committed_) {
      new (&elements_[committed_]) Element();
    }
  }
  // Makes the memory of an element real, committed or not, so that a first write to it is no page fault. Any thread
  // that is no worker; what is in it stays. Linux before 5.14 does not know how: then the first write pays.
  void populate(std::size_t index) {
    constexpr std::size_t page = 4096;
    const auto first = reinterpret_cast<std::uintptr_t>(elements_ + index);
    const std::uintptr_t begin = first / page * page;
    static_cast<void>(madvise(reinterpret_cast<void*>(begin), first + sizeof(Element) - begin, MADV_POPULATE_WRITE));
  }
  [[nodiscard]] std::size_t committed() const { return committed_; }
  // The whole address space, committed or not: what is not reads as zero, at the price of a page fault.
  [[nodiscard]] std::span<const Element> all() const { return {elements_, capacity_}; }

  [[nodiscard]] Element& operator[](std::size_t index) { return elements_[index]; }
  [[nodiscard]] const Element& operator[](std::size_t index) const { return elements_[index]; }

 private:
  Element* elements_ = nullptr;
  std::size_t capacity_;
  std::size_t committed_ = 0;
};

}  // namespace steelyard::service

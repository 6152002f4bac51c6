// Memory for tables that are probed at random, in large pages where the kernel has them: with pages of 4 KiB a miss of
// the cache is a miss of the address translation, too. Taken once at start; nothing is ever allocated on the packet
// path.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory_resource>
#include <new>

namespace steelyard::worker {

// Any thread, at start. Throws std::bad_alloc like every resource. Small pieces come from the heap.
class LargePages final : public std::pmr::memory_resource {
 private:
  static constexpr std::size_t page = std::size_t{2} << 20U;

  [[nodiscard]] static std::size_t whole_pages(std::size_t bytes) { return (bytes + page - 1) / page * page; }

  // An address space that is a page too long holds whole pages wherever it begins.
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (bytes < page) {
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    const std::size_t size = whole_pages(bytes);
    void* memory = mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    auto* begin = static_cast<std::byte*>(memory);
    const std::size_t before = whole_pages(reinterpret_cast<std::size_t>(begin)) - reinterpret_cast<std::size_t>(begin);
    if (before != 0) {
      munmap(begin, before);
    }
    if (before != page) {
      munmap(begin + before + size, page - before);
    }
    madvise(begin + before, size, MADV_HUGEPAGE);  // refused: pages are small
    return begin + before;
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    if (bytes < page) {
      std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
    } else {
      munmap(memory, whole_pages(bytes));
    }
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace steelyard::worker

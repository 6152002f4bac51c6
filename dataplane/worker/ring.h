// A ring of pointers between two threads, one at each end (rte_ring, single producer and consumer).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include <rte_ring.h>

namespace steelyard::worker {

template <class Item>
class SpscRing {
 public:
  // Capacity: a power of two. Throws std::bad_alloc. Control side.
  SpscRing(const std::string& name, unsigned capacity)
      : ring_(rte_ring_create(name.c_str(), capacity, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
    if (!ring_) {
      throw std::bad_alloc();
    }
  }

  // False: full. Producer only.
  [[nodiscard]] bool push(Item* item) { return rte_ring_sp_enqueue(ring_.get(), item) == 0; }
  // How many were taken. Consumer only.
  [[nodiscard]] unsigned pop(std::span<Item*> items) {
    return rte_ring_sc_dequeue_burst(ring_.get(), reinterpret_cast<void**>(items.data()),
                                     static_cast<unsigned>(items.size()), nullptr);
  }

 private:
  struct Free {
    void operator()(rte_ring* ring) const { rte_ring_free(ring); }
  };
  std::unique_ptr<rte_ring, Free> ring_;
};

}  // namespace steelyard::worker

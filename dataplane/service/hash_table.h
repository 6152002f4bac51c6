// What the schedulers `sch` and `tch` find servers by: made once for a set of servers by the control side, read by all
// workers, shared by the listeners of a group. It knows neither weights nor health: those are asked at every pick, so
// that a change of them makes nothing new. schedule/maglev.h builds it and says how it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace steelyard::service {

struct HashTable {
  static constexpr std::uint16_t free_slot = 0xffff;
  // An entry is a server's index in 16 bits, and one value is for the free slots.
  static constexpr std::size_t max_servers = free_slot;

  std::vector<std::uint16_t> slots;  // index into Listener::servers, or free_slot
  std::vector<std::uint64_t> seeds;  // what a server is hashed by, by its index
  std::vector<std::uint16_t> order;  // indices in the order of their seeds
};

}  // namespace steelyard::service

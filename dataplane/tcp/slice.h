// Payload by reference. TCP cuts, queues and repeats payload, but never looks at a byte of it: so all that it needs of
// a buffer is to count references. In a worker a Buffer is an rte_mbuf (a chain counts as one buffer), in tests it is
// whatever the test likes; the state machine is compiled once for both, and no test of it needs an EAL.
#pragma once

#include <cstdint>

namespace steelyard::tcp {

struct Buffer;  // never defined: what the two functions below say it is

// How a worker's buffers are counted. Called once for a slice, never for a byte. `retain` adds a reference, `release`
// gives one back, and with the last one the buffer.
struct BufferOperations {
  void (*retain)(Buffer* buffer);
  void (*release)(Buffer* buffer);
};

// `length` bytes from `offset` of a buffer. A plain value: whoever holds it by the rules of a function's declaration
// owns one reference.
struct Slice {
  Buffer* buffer = nullptr;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;

  [[nodiscard]] constexpr bool empty() const { return length == 0; }
  [[nodiscard]] constexpr Slice first(std::uint32_t bytes) const { return {buffer, offset, bytes}; }
  [[nodiscard]] constexpr Slice from(std::uint32_t bytes) const { return {buffer, offset + bytes, length - bytes}; }
};
static_assert(sizeof(Slice) == 16);

}  // namespace steelyard::tcp

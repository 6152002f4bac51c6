// Segments that nobody who knows TCP would send, into connections in every state: the bytes are a little program of
// segments - whole headers from the input, whose numbers are those of a connection plus something, or any - and of
// everything else that happens to a connection. After every step the invariants hold (tcp_world.h); at the end nothing
// is held.
#include <array>

#include "dataplane/tcp/wire.h"
#include "tests/fuzz/tcp_world.h"

namespace steelyard {
namespace {

using fuzz::Bytes;
using fuzz::require;
using fuzz::TcpWorld;
using tcp::Endpoints;

Endpoints endpoints_of(std::uint8_t choice) {
  Endpoints endpoints{tcp::mapped({0x0100a8c0}), tcp::mapped({0x0200a8c0}),
                      static_cast<std::uint16_t>(4'000 + choice % 4), TcpWorld::port};
  if ((choice & 4U) != 0) {
    endpoints.remote.raw = {1, 2};
    endpoints.local.raw = {3, 4};
  }
  if ((choice & 0x38U) == 0) {
    endpoints.local_port = 81;  // nobody listens
  }
  return endpoints;
}

void put32(std::uint8_t* to, std::uint32_t value) {
  packet::store(to, __builtin_bswap32(value));
}

// A header of the input's with numbers near those of the connection, if there is one.
void segment(TcpWorld& world, Bytes& input) {
  Endpoints endpoints = endpoints_of(input.byte());
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
  const std::uint8_t choice = input.byte();
  if (const tcp::ConnectionId id = world.any(choice); (choice & 0x80U) == 0 && world.stack().find(id) != nullptr) {
    const tcp::ConnectionReport report = world.stack().find(id)->report(world.settings());
    endpoints = *world.stack().endpoints_of(id);
    sequence = report.receive_next.value;
    acknowledgment = (choice & 0x40U) != 0 ? report.send_next.value : report.send_unacknowledged.value;
  }
  std::array<std::uint8_t, tcp::largest_tcp_header> header{};
  const auto offset = static_cast<std::int16_t>(input.word());
  const auto answered = static_cast<std::int16_t>(input.word());
  put32(&header[4], sequence + static_cast<std::uint32_t>(offset));
  put32(&header[8], acknowledgment + static_cast<std::uint32_t>(answered));
  const std::size_t options = (input.byte() % 11U) * 4U;
  header[12] = static_cast<std::uint8_t>((20 + options) << 2U);
  header[13] = input.byte();
  header[14] = input.byte();
  header[15] = input.byte();
  for (std::size_t place = 0; place < options; ++place) {
    header[20 + place] = input.byte();
  }
  tcp::Segment read;
  static_cast<tcp::SegmentHeader&>(read) = tcp::read_header(std::span<const std::uint8_t>(header).first(20 + options));
  if (const std::uint32_t length = input.word() % 2'000U; length > 500) {
    read.payload = fuzz::TcpBuffers::make(0, length - 500);
  }
  world.stack().on_segment(endpoints, read, world.now());
}

}  // namespace
}  // namespace steelyard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steelyard;
  {
    TcpWorld world(1);
    Bytes input(data, size);
    while (!input.empty()) {
      const std::uint8_t step = input.byte();
      if (step % 4 != 0) {
        segment(world, input);
      } else if (step % 16 == 4) {
        Endpoints endpoints = endpoints_of(input.byte());
        endpoints.local_port = 5'000;
        world.add(world.stack().connect(endpoints, world.settings(), world.now()));
      } else {
        fuzz::act(world, step / 4, input);
      }
      world.check();
    }
  }
  require(fuzz::TcpBuffers::live() == 0);
  return 0;
}

// Headers and options from the wire: never read beyond what is there, and what was read is written and read again as
// the same. A cookie that we did not make is not believed but by chance.
#include <array>
#include <vector>

#include "dataplane/tcp/syn_cookie.h"
#include "dataplane/tcp/wire.h"
#include "tests/fuzz/input.h"

namespace steelyard {
namespace {

using fuzz::require;
using tcp::Options;

void require_same(const Options& left, const Options& right) {
  require(left.segment_size == right.segment_size);
  require(left.has_window_scale == right.has_window_scale && left.window_scale == right.window_scale);
  require(left.sack_permitted == right.sack_permitted);
  require(left.has_timestamps == right.has_timestamps && left.timestamp == right.timestamp);
  require(left.timestamp_echo == right.timestamp_echo);
  require(left.sack_count >= right.sack_count);  // those that found no room are left out
  for (std::size_t place = 0; place < right.sack_count; ++place) {
    require(left.sacks[place] == right.sacks[place]);
  }
}

}  // namespace
}  // namespace steelyard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steelyard;
  // In memory of its own, so that a read beyond its end is seen.
  const std::vector<std::uint8_t> bytes(data, data + size);
  const Options read = tcp::read_options(bytes);
  require(read.window_scale <= tcp::max_window_scale && read.sack_count <= tcp::max_sack_blocks);
  std::array<std::uint8_t, tcp::max_options_size> written{};
  const std::size_t length = tcp::write_options(read, written);
  require(length <= written.size() && length % 4 == 0 && length == tcp::size_of(read));
  require_same(read, tcp::read_options(std::span<const std::uint8_t>(written).first(length)));

  if (bytes.size() >= packet::tcp_header_size) {
    const tcp::SegmentHeader header = tcp::read_header(bytes);
    const tcp::Endpoints endpoints{tcp::mapped({1}), tcp::mapped({2}), 3, 4};
    std::array<std::uint8_t, tcp::largest_tcp_header> again{};
    const std::size_t whole = tcp::write_header(again, endpoints, header);
    const tcp::SegmentHeader repeated = tcp::read_header(std::span<const std::uint8_t>(again).first(whole));
    require(repeated.sequence == header.sequence && repeated.acknowledgment == header.acknowledgment);
    require(repeated.flags == header.flags && repeated.window == header.window);
    const tcp::SynCookies cookies({{1, 2}});
    const tcp::Time now{std::chrono::seconds{100}};
    static_cast<void>(cookies.check(endpoints, header.acknowledgment - 1, header.sequence - 1, header.options, now));
  }
  return 0;
}

// Idle connections cost little and hold nothing. A hundred thousand here; the million is bench/tcp_benchmark's.
#include <gtest/gtest.h>

#include <vector>

#include "bench/shuffled.h"
#include "bench/tcp_echo.h"

namespace steelyard::tcp::test {
namespace {

using namespace std::chrono_literals;

TEST(IdleConnections, take_at_most_512_bytes_hold_no_node_and_no_buffer_and_still_serve) {
  constexpr std::size_t connections = 100'000;
  bench::TcpEcho echo(connections, std::pmr::new_delete_resource());
  ASSERT_EQ(echo.stack().connections(), connections);
  EXPECT_EQ(echo.stack().half_open(), 0U);
  EXPECT_LE(echo.bytes_a_connection(), 512.0);
  echo.wait(3'600s);
  EXPECT_EQ(echo.stack().connections(), connections);
  EXPECT_EQ(echo.stack().timers(), 0U);
  EXPECT_EQ(echo.nodes(), 0U);

  const std::vector<std::uint32_t> random = bench::Shuffled(connections).draw(bench::TcpEcho::most_at_once);
  EXPECT_EQ(echo.exchange(random), random.size());
  EXPECT_EQ(echo.nodes(), 0U);
  EXPECT_EQ(echo.buffers_held(), 0);
  EXPECT_EQ(echo.stack().connections(), connections);
}

}  // namespace
}  // namespace steelyard::tcp::test

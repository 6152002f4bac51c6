// The goodput matrix (tests/simulation/goodput.h) against goodput_matrix.txt: no cell may become more than 3 % slower.
// A change that is meant to change figures writes the file anew, and its commit says why:
//
//   build/release/tests/simulation/tcp_goodput_matrix > tests/unit/tcp/goodput_matrix.txt
#include "tests/simulation/goodput.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace steelyard::simulation {
namespace {

std::vector<GoodputCell> stored_matrix() {
  std::ifstream file{GOODPUT_MATRIX};
  std::stringstream text;
  text << file.rdbuf();
  return read_matrix(text.str());
}

// Sanitizers are slow; each cell stands for itself.
bool is_measured(const GoodputCell& cell) {
#ifdef STEELYARD_SANITIZED
  return cell.round_trip == std::chrono::milliseconds{100} && cell.buffer == goodput_buffers[0] && cell.loss >= 20;
#else
  return cell.goodput != 0;
#endif
}

TEST(TcpGoodput, NoCellOfTheMatrixHasBecomeSlower) {
  const std::vector<GoodputCell> stored = stored_matrix();
  ASSERT_EQ(stored.size(), goodput_cells().size());
  for (const GoodputCell& cell : stored) {
    if (!is_measured(cell)) {
      continue;
    }
    GoodputCell now = cell;
    ASSERT_EQ(measure(now), "");
    EXPECT_GE(now.goodput * 100, cell.goodput * 97)
        << "loss " << cell.loss << " of 1,000, round trip " << cell.round_trip.count() << " ms, buffers " << cell.buffer
        << ": " << now.goodput << " kbit/s, was " << cell.goodput;
  }
}

TEST(TcpGoodput, TheFileHasTheFormInWhichItIsWritten) {
  const std::vector<GoodputCell> stored = stored_matrix();
  const std::vector<GoodputCell> again = read_matrix(write_matrix(stored));
  ASSERT_EQ(again.size(), stored.size());
  EXPECT_EQ(write_matrix(again), write_matrix(stored));
}

}  // namespace
}  // namespace steelyard::simulation

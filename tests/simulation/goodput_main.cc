// Measures the matrix of goodput.h and prints it in the form of its file:
//
//   tcp_goodput_matrix > tests/unit/tcp/goodput_matrix.txt
#include <cstdio>

#include "tests/simulation/goodput.h"

int main() {
  using namespace steelyard::simulation;
  std::vector<GoodputCell> cells = goodput_cells();
  for (GoodputCell& cell : cells) {
    if (const std::string failure = measure(cell); !failure.empty()) {
      std::fprintf(stderr, "tcp_goodput_matrix: %s\n", failure.c_str());
      return 1;
    }
  }
  std::fputs(write_matrix(cells).c_str(), stdout);
  return 0;
}

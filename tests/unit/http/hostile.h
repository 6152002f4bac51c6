// Rows of tables of hostile input: each becomes a test of its own, by its name.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace steelyard::http {

struct Hostile {
  const char* name;
  std::string octets;
  int status = 400;  // what a client is told
};

inline void PrintTo(const Hostile& hostile, std::ostream* out) {
  *out << hostile.octets.substr(0, 200);
}

inline std::string name_of(const testing::TestParamInfo<Hostile>& row) {
  return row.param.name;
}

}  // namespace steelyard::http

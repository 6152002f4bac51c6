// DPDK for the tests of this room: without hugepages, a NIC or root. Started once for the whole program.
#include <gtest/gtest.h>

#include <optional>

#include "dataplane/nic/eal.h"

namespace steelyard::nic {
namespace {

class EalEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    Result<Eal> started = Eal::start({.hugepages = Hugepages::off, .memory_mib = 256});
    ASSERT_TRUE(started) << started.error().message;
    eal_.emplace(std::move(*started));
  }
  void TearDown() override { eal_.reset(); }

 private:
  std::optional<Eal> eal_;
};

[[maybe_unused]] const ::testing::Environment* const environment =
    ::testing::AddGlobalTestEnvironment(new EalEnvironment);

}  // namespace
}  // namespace steelyard::nic

// The arguments that DPDK is started with, and what is refused before it is started.
#include "dataplane/nic/eal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rte_lcore.h>

namespace steelyard::nic {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

const EalSurroundings four_cpus{.cpus = {0, 1, 2, 3}, .free_hugepages_mib = 1024};

std::vector<std::string> words(const EalSettings& settings, const EalSurroundings& surroundings = four_cpus) {
  Result<EalArguments> arguments = build_eal_arguments(settings, surroundings);
  EXPECT_TRUE(arguments) << arguments.error().message;
  return arguments ? arguments->words : std::vector<std::string>{};
}

std::string refusal(const EalSettings& settings, const EalSurroundings& surroundings = four_cpus) {
  const Result<EalArguments> arguments = build_eal_arguments(settings, surroundings);
  EXPECT_FALSE(arguments);
  return arguments ? "" : arguments.error().message;
}

TEST(EalArguments, PinEachWorkerAndLetTheMainLcoreFloat) {
  EXPECT_THAT(words({.worker_cpus = {3, 1}}), Contains("--lcores=0@(0-3),1@3,2@1"));
}

TEST(EalArguments, NameOnlyTheCpusThatTheProcessMayUse) {
  const EalSurroundings holes{.cpus = {0, 2, 3, 8}, .free_hugepages_mib = 0};
  EXPECT_THAT(words({.worker_cpus = {8}}, holes), Contains("--lcores=0@(0,2-3,8),1@8"));
}

TEST(EalArguments, LetTwoWorkersShareACpu) {
  EXPECT_THAT(words({.worker_cpus = {0, 0}}), Contains("--lcores=0@(0-3),1@0,2@0"));
}

TEST(EalArguments, LeaveNoFilesWithHugepages) {
  const auto found = words({});
  EXPECT_THAT(found, IsSupersetOf({"--in-memory", "--no-shconf", "--no-telemetry", "-m 512"}));
  EXPECT_THAT(found, Not(Contains("--no-huge")));
}

TEST(EalArguments, DoWithoutHugepagesWhenTooFewAreFree) {
  const EalSurroundings few{.cpus = {0}, .free_hugepages_mib = 511};
  const auto found = words({.memory_mib = 512}, few);
  EXPECT_THAT(found, IsSupersetOf({"--no-huge", "-m 512"}));
  // The EAL refuses the two together.
  EXPECT_THAT(found, Not(Contains("--in-memory")));
}

TEST(EalArguments, DoWithoutHugepagesWhenToldSo) {
  EXPECT_THAT(words({.hugepages = Hugepages::off}), Contains("--no-huge"));
}

TEST(EalArguments, TakeMoreMemoryWhereEachBufferTakesASmallPage) {
  const EalSettings settings{.hugepages = Hugepages::off, .memory_mib = 512, .memory_in_small_pages_mib = 800};
  EXPECT_THAT(words(settings), Contains("-m 800"));
  EXPECT_THAT(words({.memory_mib = 512, .memory_in_small_pages_mib = 800}), Contains("-m 512"));
}

TEST(EalArguments, KeepFilesUnderThePrefixWhenMemoryIsToBeShared) {
  const auto found = words({.in_memory = false, .file_prefix = "bench"});
  EXPECT_THAT(found, Contains("--file-prefix=bench"));
  EXPECT_THAT(found, Not(Contains("--in-memory")));
}

TEST(EalArguments, LeaveThePciBusAloneUnlessADeviceIsNamed) {
  EXPECT_THAT(words({}), Contains("--no-pci"));
  const auto found = words({.pci_addresses = {"0000:03:00.0"}});
  EXPECT_THAT(found, Contains("--allow=0000:03:00.0"));
  EXPECT_THAT(found, Not(Contains("--no-pci")));
}

TEST(EalArguments, AreRefusedWhenRequiredHugepagesAreMissing) {
  const EalSurroundings few{.cpus = {0}, .free_hugepages_mib = 100};
  EXPECT_THAT(refusal({.hugepages = Hugepages::required, .memory_mib = 512}, few),
              AllOf(HasSubstr("100 MiB are free and 512 MiB are needed"), HasSubstr("nr_hugepages")));
}

TEST(EalArguments, AreRefusedForACpuThatIsNotThere) {
  EXPECT_THAT(refusal({.worker_cpus = {0, 7}}), AllOf(HasSubstr("worker 1"), HasSubstr("CPU 7"), HasSubstr("0-3")));
}

TEST(EalArguments, AreRefusedForTooLittleMemory) {
  EXPECT_THAT(refusal({.memory_mib = 8}), StartsWith("8 MiB"));
}

TEST(Eal, RunsTheTestsOnTheMainLcore) {
  EXPECT_EQ(rte_lcore_id(), 0u);
}

TEST(Eal, CannotBeStartedTwice) {
  const Result<Eal> second = Eal::start({.hugepages = Hugepages::off, .memory_mib = 64});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, StartsWith("DPDK did not start"));
}

}  // namespace
}  // namespace steelyard::nic

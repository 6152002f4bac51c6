// Two instances never get one device, and whoever is refused learns who has it.
#include "dataplane/nic/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace steelyard::nic {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class DeviceLockTest : public ::testing::Test {
 protected:
  DeviceLockTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "steelyard-lock-XXXXXX";
    parent_ = ::mkdtemp(pattern.data());
    folder_ = parent_ + "/run";
  }
  ~DeviceLockTest() override { std::filesystem::remove_all(parent_); }

  void SetUp() override { ASSERT_TRUE(make_runtime_folder(folder_)); }

  std::string parent_;
  std::string folder_;
};

constexpr std::string_view device = "net_af_packet0,iface=eth7";

TEST_F(DeviceLockTest, IsGivenToOneHolder) {
  const auto first = DeviceLock::acquire(folder_, device);
  ASSERT_TRUE(first) << first.error().message;
  const auto second = DeviceLock::acquire(folder_, device);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, AllOf(HasSubstr(device), HasSubstr("process " + std::to_string(::getpid()))));
}

TEST_F(DeviceLockTest, SeesTheInterfaceBehindDifferentNames) {
  const auto first = DeviceLock::acquire(folder_, device);
  EXPECT_TRUE(first);
  EXPECT_FALSE(DeviceLock::acquire(folder_, "net_af_packet5,framesz=2048,iface=eth7"));
  EXPECT_TRUE(DeviceLock::acquire(folder_, "net_af_packet0,iface=eth8"));
}

TEST_F(DeviceLockTest, IsFreeAgainAfterItsHolder) {
  { const auto first = DeviceLock::acquire(folder_, device); }
  EXPECT_TRUE(DeviceLock::acquire(folder_, device));
}

TEST_F(DeviceLockTest, IsFreeAgainAfterItsHolderWasKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = DeviceLock::acquire(folder_, device);
    ::raise(SIGKILL);
  }
  ASSERT_GT(child, 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(DeviceLock::acquire(folder_, device));
}

TEST_F(DeviceLockTest, HasNothingToHoldForADeviceOfThisProcessAlone) {
  const auto first = DeviceLock::acquire(folder_, "net_null0");
  EXPECT_TRUE(first);
  EXPECT_TRUE(DeviceLock::acquire(folder_, "net_null0"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(DeviceLockTest, SaysWhichFileItCannotOpen) {
  const auto lock = DeviceLock::acquire(parent_ + "/absent", device);
  ASSERT_FALSE(lock);
  EXPECT_THAT(lock.error().message, HasSubstr("/absent/"));
}

TEST_F(DeviceLockTest, DoesNotFollowALink) {
  const std::string target = parent_ + "/target";
  std::filesystem::create_symlink(target, folder_ + "/" + *lock_name("0000:03:00.0") + ".lock");
  EXPECT_FALSE(DeviceLock::acquire(folder_, "0000:03:00.0"));
  EXPECT_FALSE(std::filesystem::exists(target));
}

TEST(LockName, IsTheSameForBothSpellingsOfAPciAddress) {
  EXPECT_EQ(lock_name("0000:03:00.0"), "pci-0000:03:00.0");
  EXPECT_EQ(lock_name("03:00.0"), "pci-0000:03:00.0");
}

TEST(LockName, TellsNetworkNamespacesApart) {
  const auto name = lock_name(device);
  ASSERT_TRUE(name);
  EXPECT_THAT(*name, StartsWith("interface-eth7-"));
  EXPECT_GT(name->size(), std::string_view("interface-eth7-").size());
}

TEST(LockName, OfASocketIsItsPath) {
  EXPECT_EQ(lock_name("net_vhost0,iface=/tmp/v.sock"), "socket-%2ftmp%2fv.sock");
  EXPECT_EQ(lock_name("net_virtio_user0,path=/tmp/v.sock"), "socket-%2ftmp%2fv.sock");
}

TEST(LockName, LeavesTheTwoEndsOfAMemifApart) {
  EXPECT_NE(lock_name("net_memif0,role=server,socket=/run/m.sock"),
            lock_name("net_memif0,role=client,socket=/run/m.sock"));
}

TEST(LockName, FitsAFileSystemHoweverLongThePath) {
  const std::string start = "net_memif0,socket=/" + std::string(400, 'x');
  EXPECT_LT(lock_name(start + "a")->size(), 250u);
  EXPECT_NE(lock_name(start + "a"), lock_name(start + "b"));
}

class RuntimeFolderTest : public DeviceLockTest {};

TEST_F(RuntimeFolderTest, IsMadeReadableForAllAndWritableForUs) {
  struct stat status {};
  ASSERT_EQ(::stat(folder_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755u);
}

TEST_F(RuntimeFolderTest, IsTakenWhenItIsThere) {
  EXPECT_TRUE(make_runtime_folder(folder_));
}

TEST_F(RuntimeFolderTest, IsRefusedWhenOthersCanWriteToIt) {
  ASSERT_EQ(::chmod(folder_.c_str(), 0777), 0);
  const auto made = make_runtime_folder(folder_);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("chmod 0755"));
}

TEST_F(RuntimeFolderTest, IsRefusedWhenItIsALink) {
  const std::string link = parent_ + "/link";
  std::filesystem::create_directory_symlink(folder_, link);
  EXPECT_FALSE(make_runtime_folder(link));
}

}  // namespace
}  // namespace steelyard::nic

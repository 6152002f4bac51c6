#include "control/admin/admin_socket.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "control/admin/unix_address.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal_of(const std::string& path) {
  try {
    const AdminSocket socket(path);
    return "accepted";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

// A socket that somebody has bound; with `listening` it takes connections.
FileDescriptor bound_socket(const std::string& path, bool listening) {
  const auto address = unix_address(path);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(socket.get(), generic(*address), sizeof *address), 0);
  EXPECT_TRUE(!listening || ::listen(socket.get(), 1) == 0);
  return socket;
}

class AdminSocketTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "admin.sock";
};

TEST_F(AdminSocketTest, IsForItsOwnerOnlyWhateverTheUmask) {
  for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
    const mode_t before = ::umask(mask);
    const AdminSocket socket(path_);
    ::umask(before);
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    ::chmod((path_ + ".lock").c_str(), 0600);
  }
}

TEST_F(AdminSocketTest, MakesMissingFolders) {
  const std::string path = folder_ / "a/b/admin.sock";
  const AdminSocket socket(path);
  EXPECT_TRUE(std::filesystem::is_socket(path));
}

TEST_F(AdminSocketTest, IsRemovedAtTheEnd) {
  std::optional<AdminSocket> socket(path_);
  socket.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(AdminSocketTest, LeavesAFileAloneThatIsNotItsOwnAnyMore) {
  std::optional<AdminSocket> socket(path_);
  std::filesystem::rename(path_, path_ + ".old");
  std::ofstream(path_) << "somebody else's";
  socket.reset();
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(AdminSocketTest, TakesThePlaceOfADeadProcessesSocket) {
  { const FileDescriptor dead = bound_socket(path_, true); }
  ASSERT_TRUE(std::filesystem::is_socket(path_));
  EXPECT_EQ(refusal_of(path_), "accepted");
}

TEST_F(AdminSocketTest, RefusesThePathOfALiveProcess) {
  const AdminSocket live(path_);
  EXPECT_THAT(refusal_of(path_), AllOf(HasSubstr(path_), HasSubstr("another steelyard process uses it")));
  EXPECT_TRUE(std::filesystem::is_socket(path_));
}

TEST_F(AdminSocketTest, RefusesASocketOnWhichAnotherProgramListens) {
  const FileDescriptor other = bound_socket(path_, true);
  EXPECT_THAT(refusal_of(path_), HasSubstr("another program listens on it"));
  EXPECT_TRUE(std::filesystem::is_socket(path_));
}

TEST_F(AdminSocketTest, RefusesAPathWithAFileThatIsNoSocket) {
  std::ofstream(path_) << "precious";
  EXPECT_THAT(refusal_of(path_), HasSubstr("not a socket"));
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(AdminSocketTest, RefusesAPathThatTheKernelWouldNotTake) {
  EXPECT_THAT(refusal_of(folder_ / std::string(200, 'x')), HasSubstr("1 to 107 bytes"));
  EXPECT_THAT(refusal_of(""), HasSubstr("1 to 107 bytes"));
}

TEST_F(AdminSocketTest, SaysWhyAFolderCannotBeMade) {
  std::ofstream(folder_ / "file") << "";
  EXPECT_THAT(refusal_of(folder_ / "file/admin.sock"), HasSubstr("cannot make the folder"));
}

}  // namespace
}  // namespace steelyard::control

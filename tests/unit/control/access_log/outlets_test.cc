// Files, pipes and syslog as they are: real descriptors, and none of them waits.
#include "control/access_log/outlets.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control::access_log {
namespace {

using control::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class OutletsTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
};

TEST_F(OutletsTest, AFileIsAppendedTo) {
  const std::string path = folder_ / "access.log";
  std::ofstream(path) << "before\n";
  Sink sink(open_file(path).value());
  sink.add("one\n");
  sink.add(std::string(200'000, 'x') + "\n");
  sink.flush();
  EXPECT_EQ(content_of(path), "before\none\n" + std::string(200'000, 'x') + "\n");
  EXPECT_TRUE(sink.empty());
}

TEST_F(OutletsTest, AFileIsNotForEverybody) {
  const std::string path = folder_ / "access.log";
  const auto outlet = open_file(path);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07137U, 0U);
}

TEST_F(OutletsTest, ReopeningAfterARenameBeginsANewFile) {
  const std::string path = folder_ / "access.log";
  Sink sink(open_file(path).value());
  sink.add("one\n");
  std::rename(path.c_str(), (path + ".1").c_str());
  sink.flush();
  sink.reopen();
  sink.add("two\n");
  sink.flush();
  EXPECT_EQ(content_of(path + ".1"), "one\n");
  EXPECT_EQ(content_of(path), "two\n");
}

TEST_F(OutletsTest, AFileThatCannotBeOpenedIsAnError) {
  const auto outlet = open_file(folder_ / "nowhere/access.log");
  ASSERT_FALSE(outlet);
  EXPECT_EQ(outlet.error(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(open_file(folder_ / "").error(), std::errc::is_a_directory);
}

TEST_F(OutletsTest, AFullDiskCostsLines) {
  auto outlet = open_file("/dev/full");
  ASSERT_TRUE(outlet) << "every Linux has it";
  Sink sink(std::move(*outlet));
  sink.add("one\n");
  sink.add("two\n");
  sink.flush();
  EXPECT_EQ(sink.lost(), 2U);
  EXPECT_EQ(sink.take_error(), std::errc::no_space_on_device);
}

TEST_F(OutletsTest, ANamedPipeWithoutAReaderIsAnErrorAndNotAWait) {
  const std::string path = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(open_file(path));
}

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    close_reader();
    ::close(ends_[1]);
  }
  [[nodiscard]] int writer() const { return ends_[1]; }
  std::string read_some() {
    std::array<char, 65'536> octets;
    const ssize_t got = ::read(ends_[0], octets.data(), octets.size());
    return {octets.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }
  void close_reader() {
    if (ends_[0] >= 0) {
      ::close(std::exchange(ends_[0], -1));
    }
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

TEST_F(OutletsTest, APipeWhoseReaderStandsStillMakesNobodyWait) {
  Pipe pipe;  // waits, if it is written to without asking
  Sink sink(make_stream(pipe.writer()));
  const std::string line = std::string(99, 'x') + "\n";
  std::string expected;
  for (int count = 0; count < 10'000; ++count) {
    sink.add(line);
    expected += line;
  }
  sink.flush();
  EXPECT_FALSE(sink.empty());
  EXPECT_EQ(sink.lost(), 0U);
  std::string got;
  while (got.size() < expected.size()) {
    got += pipe.read_some();
    sink.flush();
  }
  EXPECT_EQ(got, expected);
  EXPECT_TRUE(sink.empty());
}

TEST_F(OutletsTest, APipeWithoutReaderCostsLinesAndNoSignal) {
  Pipe pipe;
  Sink sink(make_stream(pipe.writer()));
  pipe.close_reader();
  sink.add("one\n");
  sink.flush();
  EXPECT_EQ(sink.lost(), 1U);
  EXPECT_EQ(sink.take_error(), std::errc::broken_pipe);
}

// A daemon's socket.
class Daemon {
 public:
  explicit Daemon(const std::string& path)
      : descriptor_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~Daemon() { ::close(descriptor_); }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  std::vector<std::string> received() const {
    std::vector<std::string> messages;
    std::array<char, 65'536> octets;
    for (;;) {
      const ssize_t got = ::recv(descriptor_, octets.data(), octets.size(), 0);
      if (got < 0) {
        return messages;
      }
      messages.emplace_back(octets.data(), static_cast<std::size_t>(got));
    }
  }

 private:
  int descriptor_;
};

TEST_F(OutletsTest, ALineIsADatagramAsSyslogWritesIt) {
  const std::string path = folder_ / "log";
  const Daemon daemon(path);
  SyslogSetup setup;
  setup.path = path;
  setup.facility = Facility::local1;
  setup.tag = "balancer";
  setup.now = [] { return std::chrono::system_clock::time_point(std::chrono::seconds{1'000'000'000}); };
  Sink sink(make_syslog(setup));
  sink.add("one\n");
  sink.add("{\"two\":2}\n");
  sink.flush();
  EXPECT_TRUE(sink.empty());
  // local1 * 8 + informational
  EXPECT_THAT(daemon.received(),
              ElementsAre(MatchesRegex("<142>Sep  [89] [0-9:]{8} balancer\\[[0-9]+\\]: one"),
                          MatchesRegex("<142>Sep  [89] [0-9:]{8} balancer\\[[0-9]+\\]: \\{\"two\":2\\}")));
}

SyslogSetup syslog_at(const std::string& path) {
  SyslogSetup setup;
  setup.path = path;
  return setup;
}

TEST_F(OutletsTest, ASyslogThatIsNotThereCostsLinesUntilItIs) {
  const std::string path = folder_ / "log";
  Sink sink(make_syslog(syslog_at(path)));
  sink.add("one\n");
  sink.add("two\n");
  sink.flush();
  EXPECT_EQ(sink.lost(), 2U);
  EXPECT_EQ(sink.take_error(), std::errc::no_such_file_or_directory);
  const Daemon daemon(path);
  sink.add("three\n");
  sink.flush();
  EXPECT_EQ(daemon.received().size(), 1U);
}

TEST_F(OutletsTest, AnotherDaemonAtTheSamePlaceIsFound) {
  const std::string path = folder_ / "log";
  Sink sink(make_syslog(syslog_at(path)));
  {
    const Daemon first(path);
    sink.add("one\n");
    sink.flush();
    EXPECT_EQ(first.received().size(), 1U);
  }
  const Daemon second(path);
  sink.add("two\n");
  sink.flush();
  EXPECT_EQ(second.received().size(), 1U);
  EXPECT_EQ(sink.lost(), 0U);
}

TEST_F(OutletsTest, ASyslogThatStandsStillMakesNobodyWait) {
  const std::string path = folder_ / "log";
  const Daemon daemon(path);
  Sink sink(make_syslog(syslog_at(path)));
  std::size_t count = 0;
  for (; count < 5'000; ++count) {
    sink.add("line\n");
  }
  sink.flush();
  EXPECT_FALSE(sink.empty()) << "its queue is short";
  std::size_t received = 0;
  while (received < count) {
    received += daemon.received().size();
    sink.flush();
  }
  EXPECT_EQ(received, count);
  EXPECT_EQ(sink.lost(), 0U);
}

TEST_F(OutletsTest, ALineThatIsTooLongForADatagramIsLostAlone) {
  const std::string path = folder_ / "log";
  const Daemon daemon(path);
  Sink sink(make_syslog(syslog_at(path)), 10'000'000);
  sink.add(std::string(5'000'000, 'x') + "\n");
  sink.add("two\n");
  sink.flush();
  EXPECT_EQ(sink.lost(), 1U);
  EXPECT_EQ(daemon.received().size(), 1U);
}

TEST_F(OutletsTest, APathThatIsTooLongForASocketIsAnError) {
  Sink sink(make_syslog(syslog_at(folder_ / std::string(200, 'x'))));
  sink.add("one\n");
  sink.flush();
  EXPECT_EQ(sink.lost(), 1U);
  EXPECT_EQ(sink.take_error(), std::errc::filename_too_long);
}

}  // namespace
}  // namespace steelyard::control::access_log

// The log's thread between a worker and the control thread.
#include "control/access_log/access_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <thread>

#include "control/access_log/outlets.h"
#include "tests/unit/control/access_log/sample.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control::access_log {
namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
  }
  return lines;
}
void push(worker::AccessRing& ring, std::uint16_t port) {
  http::AccessRecord record = testing::sample_record();
  record.client_port = port;
  while (!ring.push(record)) {
    std::this_thread::yield();
  }
}
void wait_for_lines(const AccessLog& log, std::uint64_t count) {
  while (log.written() < count) {
    std::this_thread::yield();
  }
}

class AccessLogTest : public ::testing::Test {
 protected:
  control::testing::TemporaryFolder folder_;
  worker::AccessRing ring_{65'536};
  std::atomic<std::uint64_t> reported_{0};
  ReportLost report_ = [this](const LostLines& lost) { reported_ += lost.in_rings + lost.in_outlet; };
};

TEST_F(AccessLogTest, NothingThatAWorkerHasToldIsMissingAtTheEnd) {
  constexpr std::uint16_t count = 20'000;
  const std::string path = folder_ / "access.log";
  {
    AccessLog log({&ring_}, report_);
    log.set_names(std::make_shared<testing::SampleNames>());
    log.configure(LineFormat::from_template("$remote_port $listener").value(), open_file(path).value());
    std::thread worker([this] {
      for (std::uint16_t port = 0; port < count; ++port) {
        push(ring_, port);
      }
    });
    worker.join();
  }
  const auto lines = lines_of(path);
  // The first ones may have come before the file.
  ASSERT_GT(lines.size(), 0U);
  std::size_t number = count - lines.size();
  for (const std::string& line : lines) {
    ASSERT_EQ(line, std::to_string(number++) + " web/443");
  }
}

TEST_F(AccessLogTest, AnotherFormatAndAnotherFileTakeOver) {
  AccessLog log({&ring_}, report_);
  log.configure(LineFormat::from_template("a$remote_port").value(), open_file(folder_ / "a").value());
  push(ring_, 1);
  // The file may come later than the record; it is forgotten then.
  while (log.written() == 0) {
    push(ring_, 1);
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  log.configure(LineFormat::from_template("b$remote_port").value(), open_file(folder_ / "b").value());
  while (lines_of(folder_ / "b").empty()) {
    push(ring_, 2);
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  EXPECT_EQ(lines_of(folder_ / "a").front(), "a1");
  EXPECT_EQ(lines_of(folder_ / "b").back(), "b2");
}

TEST_F(AccessLogTest, AFileIsReopened) {
  const std::string path = folder_ / "access.log";
  AccessLog log({&ring_}, report_);
  log.configure(LineFormat(), open_file(path).value());
  std::rename(path.c_str(), (path + ".1").c_str());
  log.reopen();
  while (!std::ifstream(path)) {
    std::this_thread::yield();
  }
  push(ring_, 1);
  wait_for_lines(log, 1);
  while (lines_of(path).empty()) {
    std::this_thread::yield();
  }
  EXPECT_EQ(lines_of(path + ".1").size(), 0U);
}

TEST_F(AccessLogTest, AnOutletThatStandsStillDelaysNobodysEnd) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const auto begin = std::chrono::steady_clock::now();
  {
    AccessLog log({&ring_}, report_);
    log.configure(LineFormat(), make_stream(ends[1]));
    for (std::uint16_t count = 0; count < 1'000; ++count) {
      push(ring_, count);
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{10});
  EXPECT_GT(reported_.load(), 0U) << "a pipe takes 64 KB";
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace steelyard::control::access_log

// From the workers' rings into a sink, and what is told about lost lines.
#include "control/access_log/pump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/control/access_log/sample.h"

namespace steelyard::control::access_log {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StringOutlet final : public Outlet {
 public:
  StringOutlet(std::string& got, const bool& fails) : got_(got), fails_(fails) {}
  tl::expected<Taken, std::error_code> take(std::string_view lines) override {
    if (fails_) {
      return tl::unexpected(std::make_error_code(std::errc::io_error));
    }
    got_ += lines;
    return Taken{lines.size(), 0};
  }
  std::error_code reopen() override { return std::make_error_code(std::errc::permission_denied); }

 private:
  std::string& got_;
  const bool& fails_;
};

class PumpTest : public ::testing::Test {
 protected:
  static constexpr std::size_t ring_bytes = 4'096;

  PumpTest() {
    pump_.set_sink(sink());
    pump_.set_format(LineFormat::from_template("$remote_port").value());
  }
  std::optional<Sink> sink() { return Sink(std::make_unique<StringOutlet>(got_, fails_), 100); }
  static bool push(worker::AccessRing& ring, std::uint16_t port) {
    http::AccessRecord record = testing::sample_record();
    record.client_port = port;
    return ring.push(record);
  }
  std::size_t fill(worker::AccessRing& ring) {
    std::size_t pushed = 0;
    while (push(ring, 1)) {
      ++pushed;
    }
    return pushed;
  }
  std::size_t turn(std::chrono::milliseconds after = 0ms) { return pump_.turn(testing::SampleNames(), start_ + after); }

  const Pump::Time start_{100s};
  worker::AccessRing first_{ring_bytes};
  worker::AccessRing second_{ring_bytes};
  std::string got_;
  bool fails_ = false;
  std::vector<LostLines> reports_;
  Pump pump_{{&first_, &second_}, [this](const LostLines& lost) { reports_.push_back(lost); }};
};

TEST_F(PumpTest, RecordsOfEveryWorkerBecomeLines) {
  EXPECT_TRUE(push(first_, 1) && push(first_, 2) && push(second_, 3));
  EXPECT_EQ(turn(), 3U);
  EXPECT_EQ(got_, "1\n2\n3\n");
  EXPECT_EQ(turn(), 0U);
  EXPECT_EQ(pump_.written(), 3U);
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(PumpTest, WhatWorkersHaveLostIsToldOnceASecond) {
  turn();
  const std::size_t kept = fill(first_);
  EXPECT_EQ(turn(10ms), kept);
  EXPECT_THAT(reports_, IsEmpty());
  fill(second_);
  turn(999ms);
  EXPECT_THAT(reports_, IsEmpty());
  turn(1'000ms);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_EQ(reports_[0].in_rings, 2U);
  EXPECT_EQ(reports_[0].in_outlet, 0U);
  turn(5'000ms);
  EXPECT_THAT(reports_, SizeIs(1)) << "nothing new";
  EXPECT_EQ(pump_.lost(), 2U);
}

TEST_F(PumpTest, WhatTheOutletHasLostIsToldWithItsReason) {
  turn();
  fails_ = true;
  push(first_, 1);
  turn(10ms);
  turn(1'000ms);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_EQ(reports_[0].in_outlet, 1U);
  EXPECT_EQ(reports_[0].error, std::errc::io_error);
}

TEST_F(PumpTest, AFailedReopeningIsTold) {
  turn();
  pump_.reopen();
  turn(1'000ms);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_EQ(reports_[0].in_outlet, 0U);
  EXPECT_EQ(reports_[0].error, std::errc::permission_denied);
}

TEST_F(PumpTest, WithoutASinkRecordsAreTakenAndForgotten) {
  pump_.set_sink(std::nullopt);
  push(first_, 1);
  pump_.reopen();
  EXPECT_EQ(turn(), 1U);
  EXPECT_TRUE(pump_.empty());
  EXPECT_EQ(pump_.written(), 0U);
}

TEST_F(PumpTest, LossesOfAFormerSinkAreNotForgotten) {
  fails_ = true;
  push(first_, 1);
  turn();
  pump_.set_sink(sink());
  EXPECT_EQ(pump_.lost(), 1U);
  pump_.finish();
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_EQ(reports_[0].error, std::errc::io_error);
}

TEST_F(PumpTest, ATurnIsBounded) {
  worker::AccessRing large(1U << 20U);
  Pump pump({&large}, [](const LostLines&) {});
  for (std::size_t count = 0; count < Pump::most_records + 10; ++count) {
    ASSERT_TRUE(push(large, 1));
  }
  EXPECT_EQ(pump.turn(testing::SampleNames(), start_), Pump::most_records);
  EXPECT_EQ(pump.turn(testing::SampleNames(), start_), 10U);
}

}  // namespace
}  // namespace steelyard::control::access_log

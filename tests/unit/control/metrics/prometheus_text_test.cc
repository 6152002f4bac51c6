#include "control/metrics/prometheus_text.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>

namespace steelyard::control {
namespace {

TEST(PrometheusText, WritesHelpAndTypeOnceAndSamplesBelow) {
  PrometheusText text;
  text.counter("steelyard_packets_dropped_total", "Packets dropped.")
      .add({{"worker", "0"}, {"reason", "no_flow"}}, 12)
      .add({{"worker", "1"}, {"reason", "no_flow"}}, 3);
  EXPECT_EQ(text.str(),
            "# HELP steelyard_packets_dropped_total Packets dropped.\n"
            "# TYPE steelyard_packets_dropped_total counter\n"
            "steelyard_packets_dropped_total{worker=\"0\",reason=\"no_flow\"} 12\n"
            "steelyard_packets_dropped_total{worker=\"1\",reason=\"no_flow\"} 3\n");
}

TEST(PrometheusText, KeepsAFamilyTogetherHoweverItsSamplesCome) {
  PrometheusText text;
  for (const char* server : {"a", "b"}) {
    text.counter("connections_total", "Connections.").add({{"server", server}}, 1);
    text.gauge("up", "Health.").add({{"server", server}}, 0);
  }
  EXPECT_EQ(text.str(),
            "# HELP connections_total Connections.\n# TYPE connections_total counter\n"
            "connections_total{server=\"a\"} 1\nconnections_total{server=\"b\"} 1\n"
            "# HELP up Health.\n# TYPE up gauge\nup{server=\"a\"} 0\nup{server=\"b\"} 0\n");
}

TEST(PrometheusText, EscapesLabelValuesAndHelp) {
  PrometheusText text;
  text.gauge("g", "back\\slash \"quote\"\nnext").add({{"l", "back\\slash \"quote\"\nnext"}}, 1);
  EXPECT_EQ(text.str(),
            "# HELP g back\\\\slash \"quote\"\\nnext\n# TYPE g gauge\n"
            "g{l=\"back\\\\slash \\\"quote\\\"\\nnext\"} 1\n");
}

TEST(PrometheusText, WritesIntegersExactlyAndOtherNumbersAsShortAsPossible) {
  PrometheusText text;
  PrometheusText::Family& family = text.gauge("g", "h");
  family.add({}, std::numeric_limits<std::uint64_t>::max());
  family.add({}, -5);
  family.add({}, 100000.0);
  family.add({}, 0.25);
  family.add({}, 1e300);
  family.add({}, std::numeric_limits<double>::infinity());
  family.add({}, -std::numeric_limits<double>::infinity());
  family.add({}, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(text.str(),
            "# HELP g h\n# TYPE g gauge\ng 18446744073709551615\ng -5\ng 100000\ng 0.25\ng 1e+300\ng +Inf\ng -Inf\n"
            "g NaN\n");
}

TEST(PrometheusText, FindsAFamilyWhoseNameWasATemporary) {
  PrometheusText text;
  text.counter(std::string(100, 'a'), "h").add({}, 1);
  text.counter(std::string(100, 'a'), "other").add({}, 2);
  const std::string name(100, 'a');
  EXPECT_EQ(text.str(), "# HELP " + name + " h\n# TYPE " + name + " counter\n" + name + " 1\n" + name + " 2\n");
}

TEST(PrometheusText, HistogramsHaveBucketsSumAndCount) {
  PrometheusText text;
  constexpr std::array buckets{PrometheusText::Bucket{0.000128, 1}, PrometheusText::Bucket{1.5, 3}};
  text.histogram("t", "h").add_histogram({{"part", "a"}}, buckets, 4, 7.25);
  EXPECT_EQ(text.str(),
            "# HELP t h\n# TYPE t histogram\n"
            "t_bucket{part=\"a\",le=\"0.000128\"} 1\nt_bucket{part=\"a\",le=\"1.5\"} 3\n"
            "t_bucket{part=\"a\",le=\"+Inf\"} 4\nt_sum{part=\"a\"} 7.25\nt_count{part=\"a\"} 4\n");
}

TEST(PrometheusText, IsEmptyWithoutFamilies) {
  EXPECT_EQ(PrometheusText().str(), "");
}

}  // namespace
}  // namespace steelyard::control

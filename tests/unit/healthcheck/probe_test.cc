// Identity and text of probes.
#include "healthcheck/probe.h"

#include <gtest/gtest.h>

#include <functional>
#include <unordered_set>

namespace steelyard::healthcheck {
namespace {

using boost::asio::ip::make_address;
using namespace std::chrono_literals;

ProbeSpec base() {
  ProbeSpec spec;
  spec.address = make_address("10.0.0.1");
  spec.port = 80;
  return spec;
}

TEST(ProbeSpec, EveryFieldBelongsToTheIdentity) {
  const std::function<void(ProbeSpec&)> edits[] = {
      [](ProbeSpec&) {},
      [](ProbeSpec& spec) { spec.type = ProbeType::http; },
      [](ProbeSpec& spec) { spec.address = make_address("10.0.0.2"); },
      [](ProbeSpec& spec) { spec.address = make_address("::ffff:10.0.0.1"); },
      [](ProbeSpec& spec) { spec.port = 81; },
      [](ProbeSpec& spec) { spec.interval = 3s; },
      [](ProbeSpec& spec) { spec.timeout = 6s; },
      [](ProbeSpec& spec) { spec.method = HttpMethod::get; },
      [](ProbeSpec& spec) { spec.path = "/x"; },
      [](ProbeSpec& spec) { spec.host = "/x"; },
      [](ProbeSpec& spec) { spec.accepted.allow(4); },
      [](ProbeSpec& spec) { spec.request = "ping"; },
      [](ProbeSpec& spec) { spec.expect = "ping"; },
      [](ProbeSpec& spec) { spec.interface = "ping"; },
      [](ProbeSpec& spec) { spec.source = make_address("10.0.0.9"); },
  };
  std::unordered_set<ProbeSpec, ProbeSpecHash> distinct;
  for (const auto& edit : edits) {
    ProbeSpec spec = base();
    edit(spec);
    EXPECT_EQ(ProbeSpecHash{}(spec), ProbeSpecHash{}(ProbeSpec(spec)));
    distinct.insert(spec);
    distinct.insert(spec);
  }
  EXPECT_EQ(distinct.size(), std::size(edits));
}

TEST(ProbeSpec, IsDescribedForHumans) {
  ProbeSpec spec = base();
  EXPECT_EQ(describe(spec), "tcp 10.0.0.1:80");
  spec.type = ProbeType::udp;
  spec.address = make_address("2001:db8::1");
  EXPECT_EQ(describe(spec), "udp [2001:db8::1]:80");
  spec.type = ProbeType::http;
  spec.path = "/check";
  EXPECT_EQ(describe(spec), "http HEAD http://[2001:db8::1]:80/check");
  spec.method = HttpMethod::get;
  spec.host = "example.org";
  EXPECT_EQ(describe(spec), "http GET http://[2001:db8::1]:80/check (host example.org)");
}

TEST(StatusClasses, ContainOnlyWhatWasAllowed) {
  constexpr StatusClasses classes = StatusClasses{}.allow(2).allow(5).allow(0).allow(6).allow(40);
  static_assert(classes.contains(200) && classes.contains(299) && classes.contains(503));
  static_assert(!classes.contains(199) && !classes.contains(300) && !classes.contains(600) && !classes.contains(0));
  EXPECT_EQ(classes.to_string(), "2xx 5xx");
  EXPECT_EQ(StatusClasses{}.to_string(), "none");
}

}  // namespace
}  // namespace steelyard::healthcheck

// Limits of a listener for its clients, as the file gives them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using ::testing::ElementsAre;
using testing::errors;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::with_listener;

std::string limited(std::string_view limits) {
  return with_listener("protocol: tcp, port: 80, server_group: g" + std::string(limits));
}
Listener read(std::string_view limits) {
  const auto loaded = load_text(limited(limits), "f");
  EXPECT_TRUE(loaded.config) << limits;
  return loaded.config ? loaded.config->load_balancers[0].listeners[0] : Listener{};
}

TEST(ClientLimits, AreOffByDefault) {
  EXPECT_EQ(read("").max_connection_rate, 0U);
  EXPECT_EQ(read("").per_source, std::nullopt);
  EXPECT_EQ(read(", max_connection_rate: 0, per_source: {max_connections: 0}").per_source, std::nullopt);
}

TEST(ClientLimits, AreReadWithAnIpv6SourceOf64Bits) {
  EXPECT_EQ(read(", max_connection_rate: 1000000").max_connection_rate, 1'000'000U);
  EXPECT_EQ(read(", per_source: {max_connections: 100}").per_source, (SourceLimits{100, 0, 64}));
  EXPECT_EQ(read(", per_source: {max_connection_rate: 20, ipv6_prefix: 56}").per_source, (SourceLimits{0, 20, 56}));
  EXPECT_THAT(findings(limited(", per_source: {max_connections: 1, max_connection_rate: 1, ipv6_prefix: 128}")),
              IsEmpty());
}

TEST(ClientLimits, BeyondTheirRangeAreRefused) {
  EXPECT_THAT(errors(limited(", max_connection_rate: 1000001")),
              ElementsAre(HasSubstr("6:73: error: `max_connection_rate` is `1000001`; allowed: 0..1000000")));
  EXPECT_THAT(errors(limited(", per_source: {max_connections: -1}")), ElementsAre(HasSubstr("`max_connections`")));
  EXPECT_THAT(errors(limited(", per_source: {max_connections: 5, ipv6_prefix: 31}")),
              ElementsAre(HasSubstr("`ipv6_prefix` is `31`; allowed: 32..128")));
  EXPECT_THAT(errors(limited(", per_source: {max_connection: 5}")),
              ElementsAre(HasSubstr("unknown key `max_connection` in `per_source`; did you mean `max_connections`?")));
}

TEST(ClientLimits, APrefixWithoutALimitIsWarnedOf) {
  EXPECT_THAT(findings(limited(", per_source: {ipv6_prefix: 48}")),
              ElementsAre(HasSubstr("warning: `ipv6_prefix` has no effect here; there is no limit")));
}

TEST(ClientLimits, RequestsAreLimitedWhereThereAreRequests) {
  const auto http = [](std::string_view limits) {
    return with_listener("protocol: http, port: 80, server_group: g, per_source: {" + std::string(limits) + "}");
  };
  EXPECT_THAT(findings(http("max_request_rate: 50, ipv6_prefix: 48")), IsEmpty());
  EXPECT_EQ(load_text(http("max_request_rate: 50"), "f").config->load_balancers[0].listeners[0].per_source,
            (SourceLimits{0, 0, 64, 50}));
  EXPECT_THAT(errors(http("max_request_rate: 1000001")), ElementsAre(HasSubstr("allowed: 0..1000000")));
  EXPECT_THAT(errors(limited(", per_source: {max_request_rate: 5}")), ElementsAre(HasSubstr("`protocol: http`")));
}

}  // namespace
}  // namespace steelyard::control::config

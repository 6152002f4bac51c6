// A file of 1,000 listeners with ten servers each. The bound on time is generous for debug and sanitizer builds; a
// release build takes a tenth of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "control/config/restart.h"
#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

std::string big_file(int listeners, int servers) {
  std::string text =
      "ports: [{name: wan, device: net_null0, addresses: [192.0.2.2/24, 10.255.0.1/16]}]\n"
      "gateway: 10.255.0.2\n"
      "load_balancers:\n";
  for (int index = 0; index < listeners; ++index) {
    text += "  - name: lb" + std::to_string(index) + "\n    address: 198.51." + std::to_string(index / 250) + '.' +
            std::to_string(index % 250 + 1) +
            "\n    listeners:\n      - protocol: tcp\n        port: 80\n        scheduler: wlc\n"
            "        server_group: g" +
            std::to_string(index) + "\n        health_check:\n          type: http\n          path: /health\n";
  }
  text += "server_groups:\n";
  for (int index = 0; index < listeners; ++index) {
    text += "  - name: g" + std::to_string(index) + "\n    servers:\n";
    for (int each = 0; each < servers; ++each) {
      const int number = index * servers + each;
      text += "      - {name: s" + std::to_string(each) + ", address: 10.1." + std::to_string(number / 250) + '.' +
              std::to_string(number % 250 + 1) + ", port: 8080, weight: " + std::to_string(number % 100 + 1) + "}\n";
    }
  }
  return text;
}

TEST(ConfigScale, AThousandListenersWithTenServersEachAreReadInWellUnderASecond) {
  const std::string text = big_file(1000, 10);
  const auto start = std::chrono::steady_clock::now();
  const ParseResult result = load_text(text, "f");
  const auto taken = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(result.config) << to_string(result.diagnostics.front());
  EXPECT_THAT(result.diagnostics, ::testing::IsEmpty());
  EXPECT_EQ(result.config->load_balancers.size(), 1000U);
  EXPECT_EQ(result.config->server_groups.back().servers.size(), 10U);
  EXPECT_TRUE(settings_that_need_restart(*result.config, *result.config).empty());
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(taken).count();
  RecordProperty("milliseconds", static_cast<int>(milliseconds));
  EXPECT_LT(taken, std::chrono::seconds{10});
}

TEST(ConfigScale, OneBadServerAmongTenThousandIsFound) {
  std::string text = big_file(1000, 10);
  const std::string good = "{name: s9, address: 10.1.39.250, port: 8080, weight: 100}";
  const auto place = text.rfind(good);
  ASSERT_NE(place, std::string::npos);
  text.replace(place, good.size(), "{name: s9, address: 10.1.39.250, port: 8080, weight: 101}");
  EXPECT_THAT(testing::errors(text), ::testing::ElementsAre("22004:62: error: `weight` is `101`; allowed: 0..100"));
}

}  // namespace
}  // namespace steelyard::control::config

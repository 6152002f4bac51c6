// deploy/steelyard.example.yaml is right and complete: a setting that the reader learns has to be shown there, too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

const std::filesystem::path source_folder = STEELYARD_SOURCE_FOLDER;
const std::filesystem::path example = source_folder / "deploy/steelyard.example.yaml";

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The keys that the code asks its mappings for (map_reader.h: that code is the list of them).
std::set<std::string> keys_of_the_reader() {
  static const std::regex asked(
      R"re((map|file)\.(find|require|list|integer|seconds|boolean|choice|required_choice|required_name|name)\("(\w+)")re");
  std::set<std::string> keys;
  for (const char* name : {"parse.cc", "parse_access.cc", "parse_gzip.cc", "parse_health_check.cc", "parse_http.cc",
                           "parse_http_messages.cc", "parse_network.cc", "parse_services.cc"}) {
    const std::string text = text_of(source_folder / "control/config" / name);
    for (std::sregex_iterator found(text.begin(), text.end(), asked), end; found != end; ++found) {
      keys.insert((*found)[3]);
    }
  }
  return keys;
}

TEST(Example, IsAcceptedWithoutAWord) {
  EXPECT_THAT(testing::all_findings(text_of(example)), ::testing::IsEmpty());
  EXPECT_TRUE(load(example).config);
}

TEST(Example, ShowsEverySetting) {
  const std::string text = text_of(example);
  const std::set<std::string> keys = keys_of_the_reader();
  EXPECT_GT(keys.size(), 60U);
  for (const std::string& key : keys) {
    EXPECT_TRUE(std::regex_search(text, std::regex("(^|\\n)([^#\\n]*[ {])?" + key + ":"))) << key;
  }
}

// Where the file shows a default and says so, it is the default.
TEST(Example, ShowsTheDefaultsOfTheProcess) {
  const auto read = load(example).config;
  ASSERT_TRUE(read);
  const Config defaults;
  EXPECT_EQ(read->workers.idle, defaults.workers.idle);
  EXPECT_EQ(read->memory, defaults.memory);
  EXPECT_EQ(read->local_ports, defaults.local_ports);
  EXPECT_EQ(read->pass_unmatched, defaults.pass_unmatched);
  EXPECT_EQ(read->reset_unknown_tcp, defaults.reset_unknown_tcp);
  EXPECT_EQ(read->log_level, defaults.log_level);
  EXPECT_EQ(read->ports.at(0).mtu, Port{}.mtu);
}

}  // namespace
}  // namespace steelyard::control::config

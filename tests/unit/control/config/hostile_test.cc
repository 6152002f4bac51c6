// Texts that want to break the reader: every one is refused with a place, quickly, without an exception.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

#include "control/config/yaml_tree.h"
#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Refused {
  const char* what;
  std::string text;
  const char* finding;
};

class HostileText : public ::testing::TestWithParam<Refused> {};

TEST_P(HostileText, IsRefusedWithItsPlace) {
  const ParseResult result = load_text(GetParam().text, "f");
  EXPECT_FALSE(result.config);
  ASSERT_THAT(result.diagnostics, SizeIs(1));
  EXPECT_THAT(to_string(result.diagnostics[0]).substr(2), HasSubstr(GetParam().finding));
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (std::size_t index = 0; index < times; ++index) {
    out += text;
  }
  return out;
}

std::string billion_laughs() {
  std::string text = "a: &a [lol, lol, lol, lol]\n";
  for (char name = 'b'; name <= 'i'; ++name) {
    std::string alias = "*?, ";
    alias[1] = static_cast<char>(name - 1);
    std::string line = "?: &? [";
    line[0] = line[4] = name;
    text += line;
    text += repeated(alias, 9);
    text += "]\n";
  }
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Texts, HostileText,
    ::testing::Values(
        Refused{"empty", "", "1:1: error: the file is empty"},
        Refused{"only a comment", "# nothing\n", "1:1: error: the file is empty"},
        Refused{"only null", "~", "1:1: error: the file is empty"},
        Refused{"a scalar", "hello", "1:1: error: the file is `hello`; allowed: a mapping"},
        Refused{"a list", "- a\n", "1:1: error: the file is a list; allowed: a mapping"},
        Refused{"open bracket", "ports: [\n", "2:1: error: not valid YAML: end of sequence flow not found"},
        Refused{"open quote", "ports: \"abc", "1:12: error: not valid YAML: illegal EOF in scalar"},
        Refused{"tab as indentation", "ports:\n\t- a: 1\n", "2:2: error: not valid YAML"},
        Refused{"bad indentation", "ports: 1\n  mtu: 2\n", "2:6: error: not valid YAML: illegal map value"},
        Refused{"two documents", "log: {}\n---\nlog: {}\n", "2:1: error: this stands after the end of the first"},
        Refused{"an anchor", "ports: &p []\n", "1:8: error: YAML anchors (&name) are not allowed"},
        Refused{"an alias of nothing", "ports: *p\n", "1:8: error: not valid YAML: the referenced anchor"},
        Refused{"billion laughs", billion_laughs(), "1:4: error: YAML anchors (&name) are not allowed"},
        Refused{"a tag", "ports: !!python/object []\n", "1:8: error: YAML tags (!name) are not allowed"},
        Refused{"a tagged scalar", "log: {level: !!str info}\n", "1:14: error: YAML tags (!name) are not allowed"},
        Refused{"nested lists", "a: " + repeated("[", 100000), "error: nested too deeply; at most 32 levels"},
        Refused{"33 levels", repeated("- ", 33), "1:65: error: nested too deeply; at most 32 levels"},
        Refused{"nested mappings", repeated("{a: ", 100000), "1:125: error: nested too deeply"},
        Refused{"nested keys", repeated("? ", 100000), "1:65: error: nested too deeply"},
        Refused{"nested entries", repeated("- ", 100000), "1:65: error: nested too deeply"},
        Refused{"a NUL", "ports:\0 []"s, "1:7: error: control character `\\x00`"},
        Refused{"yaml-cpp's end of file", "log: {}\n\x04ports: []", "2:1: error: control character `\\x04`"},
        Refused{"an escape sequence", "# \x1b[2J\n", "1:3: error: control character `\\x1b`"},
        Refused{"a lone carriage return", "log: {}\rports: []\n", "1:8: error: control character `\\x0d`"},
        Refused{"UTF-16", "\xff\xfel\0o\0g\0"s, "1:1: error: byte `\\xff` is no UTF-8"},
        Refused{"an overlong slash", "# \xc0\xaf\n", "1:3: error: byte `\\xc0` is no UTF-8"},
        Refused{"a surrogate", "# \xed\xa0\x80\n", "1:3: error: byte `\\xed` is no UTF-8"},
        Refused{"beyond Unicode", "# \xf4\x90\x80\x80\n", "1:3: error: byte `\\xf4` is no UTF-8"},
        Refused{"a cut sequence", "# \xe2\x82", "1:3: error: byte `\\xe2` is no UTF-8"},
        Refused{"brackets without end", repeated("[", 5U << 20), "1:1: error: more than 2 MiB follow"},
        Refused{"a scalar without end", "a: " + repeated("x", 5U << 20), "1:1: error: more than 2 MiB follow"},
        Refused{"a root list without end", repeated("[", 1) + repeated("[],\n", 1U << 20),
                "1:1: error: more than 2 MiB follow"},
        Refused{"too many values", "a:\n" + repeated("- 1\n", max_nodes), "error: the file has too many values"},
        Refused{"too many bytes", std::string(max_text_bytes + 1, '#'), " error: the file has 67108865 bytes"}),
    [](const ::testing::TestParamInfo<Refused>& param) {
      std::string name = param.param.what;
      std::ranges::replace_if(
          name, [](unsigned char each) { return std::isalnum(each) == 0; }, '_');
      return name;
    });

TEST(HostileText, ThirtyTwoLevelsAreNotTooDeep) {
  Report report("f");
  EXPECT_TRUE(read_yaml(repeated("- ", 32) + "x", report));
}

TEST(HostileText, WindowsLineEndsAByteOrderMarkAndUtf8CommentsAreAccepted) {
  EXPECT_TRUE(
      load_text("\xef\xbb\xbf# caf\xc3\xa9 \xf0\x9f\x98\x80\r\nports:\r\n  - {name: a, device: net_null0}\r\n", "f")
          .config);
}

TEST(HostileText, AHundredThousandUnknownKeysGiveAThousandFindings) {
  std::string text = "ports: [{name: a, device: net_null0}]\n";
  for (int index = 0; index < 100000; ++index) {
    text.append("key").append(std::to_string(index)).append(": 1\n");
  }
  EXPECT_THAT(load_text(text, "f").diagnostics, SizeIs(Report::limit + 1));
}

TEST(HostileText, OneJsonObjectIsAConfiguration) {
  EXPECT_TRUE(
      load_text(R"({"ports": [{"name": "a", "device": "net_null0", "mtu": 1400}], "log": {"level": "warn"}})", "f")
          .config);
}

TEST(LoadFile, AMissingFileAndADirectoryAreErrorsWithoutAPlace) {
  const auto missing = load("/nonexistent/steelyard.yaml");
  EXPECT_FALSE(missing.config);
  ASSERT_THAT(missing.diagnostics, SizeIs(1));
  EXPECT_EQ(to_string(missing.diagnostics[0]),
            "/nonexistent/steelyard.yaml: error: the file cannot be read: No such file or directory");
  const auto directory = load("/");
  ASSERT_THAT(directory.diagnostics, SizeIs(1));
  EXPECT_EQ(to_string(directory.diagnostics[0]), "/: error: the file cannot be read: it is a directory");
}

TEST(LoadFile, AnEndlessDeviceIsRefusedInsteadOfFillingTheMemory) {
  EXPECT_FALSE(load("/dev/zero").config);
}

TEST(LoadFile, FindingsNameTheFile) {
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) / ("steelyard-config-" + std::to_string(getpid()) + ".yaml");
  std::ofstream(path) << "ports: [{name: a, device: net_null0}]\nlogs: 1\n";
  const auto result = load(path);
  std::filesystem::remove(path);
  ASSERT_THAT(result.diagnostics, SizeIs(1));
  EXPECT_EQ(to_string(result.diagnostics[0]),
            path.string() + ":2:1: error: unknown key `logs` in the file; did you mean `log`?");
}

}  // namespace
}  // namespace steelyard::control::config

// Reads pcapng as the draft describes it, strictly: every length twice and equal, every block whole. For tests.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace steelyard::test {

struct PcapngBlock {
  std::uint32_t type = 0;
  std::string body;  // without the fields that every block has

  template <class Number>
  [[nodiscard]] Number at(std::size_t offset) const {
    Number number{};
    EXPECT_LE(offset + sizeof number, body.size());
    std::memcpy(&number, body.data() + offset, sizeof number);
    return number;
  }
  // By code, from `offset` on.
  [[nodiscard]] std::map<std::uint16_t, std::string> options(std::size_t offset) const {
    std::map<std::uint16_t, std::string> all;
    while (offset < body.size()) {
      const auto code = at<std::uint16_t>(offset);
      const auto length = at<std::uint16_t>(offset + 2);
      if (code == 0) {
        EXPECT_EQ(offset + 4, body.size());
        break;
      }
      all[code] = body.substr(offset + 4, length);
      offset += 4 + (length + 3U) / 4 * 4;
    }
    return all;
  }
};

[[nodiscard]] inline std::vector<PcapngBlock> pcapng_blocks(std::string_view file) {
  std::vector<PcapngBlock> blocks;
  while (!file.empty()) {
    std::uint32_t type = 0;
    std::uint32_t length = 0;
    std::uint32_t again = 0;
    if (file.size() < 12) {
      ADD_FAILURE() << file.size() << " bytes are left over";
      break;
    }
    std::memcpy(&type, file.data(), 4);
    std::memcpy(&length, file.data() + 4, 4);
    if (length % 4 != 0 || length < 12 || length > file.size()) {
      ADD_FAILURE() << "a block of " << length << " bytes";
      break;
    }
    std::memcpy(&again, file.data() + length - 4, 4);
    EXPECT_EQ(length, again);
    blocks.push_back({type, std::string(file.substr(8, length - 12))});
    file.remove_prefix(length);
  }
  return blocks;
}

}  // namespace steelyard::test

// Texts in ranges, of each of which it is asked which texts another one begins with: the URL prefixes of forwarding
// rules, a range for each domain. One sorted array for all ranges; a binary search finds the last text that does not
// stand behind the other one, and from there it is one step to each shorter prefix. There is nothing to collide: every
// step leaves half of the texts, whatever is asked, and looks at no octet again that is known to agree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace steelyard::service {

// Made by one thread, then immutable; any thread may ask.
class SortedTexts {
 public:
  static constexpr std::uint32_t none = 0xffffffffU;
  struct Range {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };
  struct Source {
    std::string_view text;
    std::uint32_t value = 0;
  };

  // Adds a range. The texts are sorted by octets and distinct, and are copied; values are not `none`.
  Range add(std::span<const Source> sorted);

  // The value of the longest text of the range that `query` begins with; none.
  [[nodiscard]] std::uint32_t longest(Range range, std::string_view query) const;

 private:
  struct Entry {
    std::uint32_t begin;  // in texts_
    std::uint32_t length;
    std::uint32_t shorter;  // the longest entry that this one begins with
    std::uint32_t value;
  };
  [[nodiscard]] std::string_view text_of(const Entry& entry) const {
    return {texts_.data() + entry.begin, entry.length};
  }

  std::vector<Entry> entries_;
  std::string texts_;
};

}  // namespace steelyard::service

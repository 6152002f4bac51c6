#include "dataplane/service/sorted_texts.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace steelyard::service {
namespace {

// How many octets two texts begin with alike, when it is known of the first `known`.
std::size_t common_octets(std::string_view one, std::string_view other, std::size_t known) {
  const std::size_t most = std::min(one.size(), other.size());
  std::size_t place = known;
  for (; place + 8 <= most; place += 8) {
    std::uint64_t of_one = 0;
    std::uint64_t of_other = 0;
    std::memcpy(&of_one, one.data() + place, 8);
    std::memcpy(&of_other, other.data() + place, 8);
    if (of_one != of_other) {
      return place + static_cast<std::size_t>(std::countr_zero(of_one ^ of_other)) / 8;
    }
  }
  while (place < most && one[place] == other[place]) {
    ++place;
  }
  return place;
}

}  // namespace

SortedTexts::Range SortedTexts::add(std::span<const Source> sorted) {
  const Range range{static_cast<std::uint32_t>(entries_.size()), static_cast<std::uint32_t>(sorted.size())};
  for (const Source& source : sorted) {
    // What a text begins with stands before it, and whatever is between the two begins with it as well.
    std::uint32_t shorter = entries_.size() == range.first ? none : static_cast<std::uint32_t>(entries_.size() - 1);
    while (shorter != none && !source.text.starts_with(text_of(entries_[shorter]))) {
      shorter = entries_[shorter].shorter;
    }
    entries_.push_back({static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(source.text.size()),
                        shorter, source.value});
    texts_ += source.text;
  }
  return range;
}

std::uint32_t SortedTexts::longest(Range range, std::string_view query) const {
  std::uint32_t low = range.first;
  std::uint32_t high = range.first + range.count;
  // What `query` has in common with the entry before `low` and with that at `high`, and so with all between them.
  std::size_t low_common = 0;
  std::size_t high_common = 0;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    const std::string_view text = text_of(entries_[middle]);
    const std::size_t common = common_octets(text, query, std::min(low_common, high_common));
    const bool behind =
        common < text.size() && (common == query.size() ||
                                 static_cast<unsigned char>(text[common]) > static_cast<unsigned char>(query[common]));
    if (behind) {
      high = middle;
      high_common = common;
    } else {
      low = middle + 1;
      low_common = common;
    }
  }
  std::uint32_t entry = low == range.first ? none : low - 1;
  while (entry != none && entries_[entry].length > low_common) {
    entry = entries_[entry].shorter;
  }
  return entry == none ? none : entries_[entry].value;
}

}  // namespace steelyard::service

// Which server of a target a session cookie names: by a keyed hash of the server that every node computes alike
// (http/cookie.h). Made by the control side with the servers, immutable, any thread may ask.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace steelyard::service {

class ServerTags {
 public:
  ServerTags() = default;
  // `tags`: of the servers, in their order.
  explicit ServerTags(const std::vector<std::uint64_t>& tags) {
    for (std::size_t place = 0; place < tags.size(); ++place) {
      by_tag_.emplace_back(tags[place], static_cast<std::uint32_t>(place));
    }
    std::ranges::sort(by_tag_);
  }

  // The server's place; nothing: it is none of these.
  [[nodiscard]] std::optional<std::size_t> find(std::uint64_t tag) const {
    const auto found = std::ranges::lower_bound(by_tag_, tag, {}, [](const auto& entry) { return entry.first; });
    if (found == by_tag_.end() || found->first != tag) {
      return std::nullopt;
    }
    return found->second;
  }

 private:
  std::vector<std::pair<std::uint64_t, std::uint32_t>> by_tag_;
};

}  // namespace steelyard::service

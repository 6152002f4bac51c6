#include "control/cli/sort_key.h"

#include <algorithm>
#include <array>
#include <utility>

namespace steelyard::control::cli {
namespace {

constexpr std::array<std::pair<SortKey, std::string_view>, 6> names{{{SortKey::bits, "bits"},
                                                                     {SortKey::packets, "packets"},
                                                                     {SortKey::requests, "requests"},
                                                                     {SortKey::connections, "connections"},
                                                                     {SortKey::active, "active"},
                                                                     {SortKey::name, "name"}}};
}  // namespace

std::optional<SortKey> sort_key(std::string_view name) {
  const auto found = std::ranges::find(names, name, &std::pair<SortKey, std::string_view>::second);
  return found != names.end() ? std::optional(found->first) : std::nullopt;
}

std::optional<SortKey> sort_key(char letter) {
  const auto found = std::ranges::find(names, letter, [](const auto& each) { return each.second[0]; });
  return found != names.end() ? std::optional(found->first) : std::nullopt;
}

std::string_view name_of(SortKey key) {
  return std::ranges::find(names, key, &std::pair<SortKey, std::string_view>::first)->second;
}

std::string sort_key_names() {
  std::string all;
  for (const auto& [key, name] : names) {
    all += (all.empty() ? "" : ", ") + std::string(name);
  }
  return all;
}

std::string sort_key_letters() {
  std::string all;
  for (const auto& [key, name] : names) {
    all += (all.empty() ? "" : ", ") + std::string(name.substr(0, 1)) + ' ' + std::string(name);
  }
  return all;
}

}  // namespace steelyard::control::cli

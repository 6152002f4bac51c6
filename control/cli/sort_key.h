// The orders that `steelyard top` knows. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace steelyard::control::cli {

// What listeners and servers are sorted by: names upwards, all else from the largest on.
enum class SortKey : std::uint8_t { bits, packets, requests, connections, active, name };

// "bits", ...; the first letter is the key on the keyboard.
[[nodiscard]] std::optional<SortKey> sort_key(std::string_view name);
[[nodiscard]] std::optional<SortKey> sort_key(char letter);
[[nodiscard]] std::string_view name_of(SortKey key);
// "bits, packets, ...", for people.
[[nodiscard]] std::string sort_key_names();
// "b bits, p packets, ...", for people with a keyboard.
[[nodiscard]] std::string sort_key_letters();

}  // namespace steelyard::control::cli

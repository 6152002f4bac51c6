// Base64 (RFC 4648 section 4): bytes inside JSON. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace steelyard::control {

[[nodiscard]] std::string to_base64(std::span<const std::byte> bytes);
// Nothing when it is none: another character, a wrong length, padding but at the end, bits that say nothing.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace steelyard::control

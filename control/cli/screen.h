// Pictures on a terminal that take the place of the one before. Text in, escape sequences out; the text itself must be
// printable (Table sees to that).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace steelyard::control::cli {

struct ScreenSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
};

// Of the terminal behind a descriptor; nothing when it is none. A terminal that does not know its size has 80 by 24.
[[nodiscard]] std::optional<ScreenSize> screen_size(int descriptor);

// Lines cut at the screen's width, and as many as it has rows; the last one then says how many more there are. No
// newline at the end. Pure.
[[nodiscard]] std::string fitted(std::string_view picture, ScreenSize size);

// What draws `picture`, which fits, over what the screen shows, without clearing it first: so that it does not flicker.
// Pure.
[[nodiscard]] std::string redrawn(std::string_view picture);

}  // namespace steelyard::control::cli

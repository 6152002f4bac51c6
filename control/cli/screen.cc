#include "control/cli/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace steelyard::control::cli {
namespace {

std::vector<std::string_view> lines_of(std::string_view picture) {
  std::vector<std::string_view> lines;
  while (!picture.empty()) {
    const std::size_t end = std::min(picture.find('\n'), picture.size());
    lines.push_back(picture.substr(0, end));
    picture.remove_prefix(std::min(end + 1, picture.size()));
  }
  return lines;
}

}  // namespace

std::optional<ScreenSize> screen_size(int descriptor) {
  if (descriptor < 0 || ::isatty(descriptor) == 0) {
    return std::nullopt;
  }
  winsize told{};
  if (::ioctl(descriptor, TIOCGWINSZ, &told) != 0 || told.ws_col == 0 || told.ws_row == 0) {
    return ScreenSize{};
  }
  return ScreenSize{told.ws_col, told.ws_row};
}

std::string fitted(std::string_view picture, ScreenSize size) {
  const std::vector<std::string_view> lines = lines_of(picture);
  const std::size_t rows = std::max<std::size_t>(size.rows, 1);
  const bool all = lines.size() <= rows;
  std::string out;
  const auto append = [&](std::string_view line) {
    out += out.empty() ? "" : "\n";
    out += line.substr(0, size.columns);
  };
  for (std::size_t place = 0; place < (all ? lines.size() : rows - 1); ++place) {
    append(lines[place]);
  }
  if (!all) {
    append('(' + std::to_string(lines.size() - rows + 1) + " more lines)");
  }
  return out;
}

std::string redrawn(std::string_view picture) {
  constexpr std::string_view home = "\x1b[H";
  constexpr std::string_view clear_line_end = "\x1b[K";
  constexpr std::string_view clear_below = "\x1b[J";
  std::string out(home);
  for (const std::string_view line : lines_of(picture)) {
    out += out.size() == home.size() ? "" : "\r\n";
    out += line;
    out += clear_line_end;
  }
  out += clear_below;
  return out;
}

}  // namespace steelyard::control::cli

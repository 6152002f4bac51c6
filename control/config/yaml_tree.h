// YAML text to a tree of nodes with their positions, built on yaml-cpp's event interface: it keeps duplicate keys
// visible, and lets the text be refused while it is read instead of after it has filled the memory.
//
// Refused here, each with its place: texts beyond the limits below, bytes that are no UTF-8 text, control characters
// (yaml-cpp would take 0x04 for the end of the file and silently ignore the rest), anchors, aliases and tags (a file
// for humans needs none; aliases are the means of the "billion laughs"), and a second document.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/diagnostic.h"

namespace steelyard::control::config {

inline constexpr std::size_t max_text_bytes = std::size_t{64} << 20;
inline constexpr std::size_t max_depth = 32;
// About 30 times what 1,000 listeners with 10 servers each need; bounds the tree at about 250 MB.
inline constexpr std::size_t max_nodes = std::size_t{1} << 21;

// How far yaml-cpp may read ahead of the last value it has delivered. It keeps a token of some 200 bytes for each
// bracket that could still turn out to be a key, so without this cap 64 MiB of "[" would need gigabytes. Files in block
// style stay within a line or two; a file that is one JSON object is read ahead as a whole, so this is also its size
// limit.
inline constexpr std::size_t max_lookahead_bytes = std::size_t{2} << 20;

struct Node {
  enum class Kind : std::uint8_t { null, scalar, sequence, map };

  Kind kind = Kind::null;
  bool plain = false;  // a scalar without quotes
  Position at;
  std::string scalar;
  std::vector<Node> children;  // a map's are key, value, key, value, ...
};

// Nothing: `report` has got the reason.
[[nodiscard]] std::optional<Node> read_yaml(std::string_view text, Report& report);

}  // namespace steelyard::control::config

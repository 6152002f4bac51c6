// `gzip` of an http listener: on, off, or what is compressed.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

constexpr std::size_t most_types = 64;
constexpr std::uint64_t most_min_bytes = std::uint64_t{1} << 30U;

// Of a type or a subtype (RFC 6838, section 4.2).
bool is_type_character(char character) {
  constexpr std::string_view marks = "!#$&-^_.+/";
  return is_letter(character) || is_digit(character) || marks.find(character) != std::string_view::npos;
}

std::optional<std::string> read_type(const Node& node, Report& report) {
  constexpr std::string_view rule = "a media type such as text/html, without parameters";
  auto text = read_text(node, "a type of `gzip`", {3, 127}, is_type_character, rule, report);
  if (!text) {
    return std::nullopt;
  }
  const std::size_t slash = text->find('/');
  if (slash == 0 || slash >= text->size() - 1 || text->find('/', slash + 1) != std::string::npos) {
    report.error(node.at, "a type of `gzip` is " + shown(node) + "; allowed: " + std::string(rule));
    return std::nullopt;
  }
  std::ranges::transform(*text, text->begin(), [](char character) {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
  });
  return text;
}

}  // namespace

std::optional<Gzip> read_gzip(const Node& node, Report& report) {
  if (node.kind != Node::Kind::map) {
    const auto on = read_bool(node, "`gzip`", report);
    return on.value_or(false) ? std::optional<Gzip>(std::in_place) : std::nullopt;
  }
  Gzip gzip;
  MapReader map(node, "`gzip`", report);
  map.integer("min_bytes", gzip.least_octets, {1, most_min_bytes});
  if (const Node* types = map.find("types")) {
    const bool is_list = types->kind == Node::Kind::sequence;
    if (!is_list || types->children.empty() || types->children.size() > most_types) {
      report.error(types->at, "`types` is " +
                                  (is_list ? "a list of " + std::to_string(types->children.size()) : shown(*types)) +
                                  "; allowed: a list of 1.." + std::to_string(most_types) + " media types");
    } else {
      gzip.types.clear();
      for (const Node& type : types->children) {
        if (auto text = read_type(type, report)) {
          gzip.types.push_back(std::move(*text));
        }
      }
    }
  }
  map.finish();
  return gzip;
}

}  // namespace steelyard::control::config

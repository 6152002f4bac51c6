#include "dataplane/http/cache_control.h"

#include <algorithm>
#include <cstddef>

#include "dataplane/http/characters.h"
#include "dataplane/http/parse.h"

namespace steelyard::http {
namespace {

// The first directive, taken off `rest`. It ends at a comma that stands in no quoted string (RFC 9110 section 5.6.4).
std::string_view take_directive(std::string_view& rest) {
  bool quoted = false;
  std::size_t at = 0;
  for (; at < rest.size() && (quoted || rest[at] != ','); ++at) {
    quoted = quoted != (rest[at] == '"');
    at += quoted && rest[at] == '\\' ? 1 : 0;
  }
  const std::string_view directive = trimmed(rest.substr(0, at));
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return directive;
}

}  // namespace

bool is_private(std::string_view cache_control) {
  while (!cache_control.empty()) {
    const std::string_view directive = take_directive(cache_control);
    if (same_name(directive, "no-store") || same_name(directive, "private")) {
      return true;
    }
  }
  return false;
}

void write_private_directives(HeadWriter& writer, std::string_view cache_control) {
  while (!cache_control.empty()) {
    const std::string_view directive = take_directive(cache_control);
    const std::string_view name = directive.substr(0, directive.find('='));
    if (!directive.empty() && !same_name(name, "public") && !same_name(name, "private") &&
        !same_name(name, "s-maxage")) {
      writer.text(", ");
      writer.text(directive);
    }
  }
}

}  // namespace steelyard::http

// Comparing field names and tokens, and which fields end at this hop.
#include <algorithm>
#include <charconv>
#include <system_error>

#include "dataplane/http/characters.h"
#include "dataplane/http/parse.h"

namespace steelyard::http {
namespace {

// Fields that are about this connection or its framing, by length: at most two names have to be compared.
bool is_always_hop_by_hop(std::string_view name) {
  switch (name.size()) {
    case 2:
      return same_name(name, "TE");
    case 4:
      return same_name(name, "Host");
    case 7:
      return same_name(name, "Upgrade");
    case 10:
      return same_name(name, "Connection") || same_name(name, "Keep-Alive");
    case 14:
      return same_name(name, "Content-Length") || same_name(name, "HTTP2-Settings");
    case 16:
      return same_name(name, "Proxy-Connection");
    case 17:
      return same_name(name, "Transfer-Encoding");
    default:
      return false;
  }
}

}  // namespace

bool same_letters(std::string_view a, std::string_view b) {
  // Most names come as RFCs write them.
  return a == b || std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

bool has_token(std::string_view list, std::string_view token) {
  bool found = false;
  for_each_element(list, [&](std::string_view element) { found = found || same_name(element, token); });
  return found && !token.empty();
}

bool is_hop_by_hop(const MessageHead& head, std::string_view name) {
  // RFC 9110 section 6.6.2: Trailer is about the message, and stays even where Connection is said to name it.
  if (is_always_hop_by_hop(name)) {
    return true;
  }
  if (head.connection.empty() && !head.several_connections) {
    return false;
  }
  if (!head.several_connections) {
    return has_token(head.connection, name);
  }
  const auto fields = head.fields.all();
  return std::any_of(fields.begin(), fields.end(), [name](const Field& field) {
    return same_name(field.name, "Connection") && has_token(field.value, name);
  });
}

std::optional<std::uint32_t> forwards_left(const RequestHead& head, const Field& field) {
  if (head.method != Method::options || !same_name(field.name, "max-forwards")) [[likely]] {
    return std::nullopt;
  }
  std::uint32_t left = 0;
  const char* end = field.value.data() + field.value.size();
  const auto [read, error] = std::from_chars(field.value.data(), end, left);
  return error == std::errc{} && read == end ? std::optional(left) : std::nullopt;
}

}  // namespace steelyard::http

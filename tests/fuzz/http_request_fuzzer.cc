// Feeds a hostile client's octets to the request parser and, when a head is taken, what follows to the body reader.
//
// Input: one octet of seed for the cuts, then head and body.
#include "dataplane/http/content_coding.h"
#include "tests/fuzz/http_message.h"

namespace {

using namespace steelyard;
using fuzz::require;

void check_taken(const http::RequestHead& head, const http::ParseLimits& limits) {
  fuzz::require_writable(head);
  for (const std::string_view text : {head.method_name, head.target, head.authority}) {
    fuzz::require_writable(text);
    require(text.find(' ') == std::string_view::npos);
  }
  const bool without_path = head.target.starts_with('?');
  require(head.target == "*" || head.target.starts_with('/') || without_path);
  require(without_path ? head.path == "/" : head.target.starts_with(head.path));
  require(head.target.size() <= limits.target_octets);
  require(head.method != http::Method::connect && head.method != http::Method::trace);
  require(head.version == http::Version::http_1_0 || !head.host.empty());
  require(head.authority.starts_with(head.host) && head.fields.size() <= limits.fields);
  require(head.framing.kind != http::BodyKind::until_close);
}

// Whoever is sent gzip has named it, or everything.
void check_codings(const http::RequestHead& head) {
  if (!http::accepts_gzip(head.fields.all()))
    return;
  bool named = false;
  for (const http::Field& field : head.fields.all())
    named = named || (http::same_name(field.name, "accept-encoding") &&
                      field.value.find_first_of("gG*") != std::string_view::npos);
  require(named);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0)
    return 0;
  const fuzz::Octets octets(data + 1, size - 1);
  const auto end = fuzz::end_of_head(octets, data[0]);
  const bool may_begin = http::may_begin_request(octets);
  if (!end)
    return 0;
  // Memory of its own, so that an octet read behind the head is seen.
  const std::vector<std::uint8_t> text(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(*end));
  constexpr http::ParseLimits limits{.fields = 32, .target_octets = 256};
  static http::RequestHead head;  // used again, as the proxy does
  const auto result = http::parse_request(text, limits, head);
  // A target that the input lacks is a literal.
  if (head.target != "/" && head.target != "*") {
    fuzz::require_inside(head.target, text);
    if (!head.target.starts_with('?'))  // so is the path that such a target lacks
      fuzz::require_inside(head.path, text);
  }
  for (const std::string_view view : {head.method_name, head.host, head.authority})
    fuzz::require_inside(view, text);
  fuzz::require_sound(head, text);
  if (!result) {
    require(result.error().status >= 400 && result.error().cause != http::Cause::none && *result.error().fault != '\0');
    return 0;
  }
  require(may_begin);
  check_taken(head, limits);
  check_codings(head);
  fuzz::check_body(head.framing, octets.subspan(*end), data[0]);
  return 0;
}

// Feeds a hostile server's octets to the response parser and, when a head is taken, what follows to the body reader.
//
// Input: one octet of seed for the cuts and of the request's method, then head and body.
#include "tests/fuzz/http_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steelyard;
  using fuzz::require;
  if (size == 0)
    return 0;
  const fuzz::Octets octets(data + 1, size - 1);
  const auto end = fuzz::end_of_head(octets, data[0]);
  if (!end)
    return 0;
  // Memory of its own, so that an octet read behind the head is seen.
  const std::vector<std::uint8_t> text(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(*end));
  constexpr http::ParseLimits limits{.fields = 32};
  static http::ResponseHead head;  // used again, as the proxy does
  const http::Method method = data[0] % 2 == 0 ? http::Method::get : http::Method::head;
  const auto result = http::parse_response(text, limits, method, head);
  fuzz::require_inside(head.reason, text);
  fuzz::require_sound(head, text);
  if (!result) {
    require(result.error().status == 502 && result.error().cause == http::Cause::bad_answer &&
            *result.error().fault != '\0');
    return 0;
  }
  fuzz::require_writable(head);
  fuzz::require_writable(head.reason);
  require(head.status >= 100 && head.status <= 599 && head.fields.size() <= limits.fields);
  require(method != http::Method::head || head.framing.kind == http::BodyKind::none);
  require(head.framing.kind != http::BodyKind::until_close || !head.keep_alive);
  fuzz::check_body(head.framing, octets.subspan(*end), data[0]);
  return 0;
}

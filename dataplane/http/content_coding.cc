#include "dataplane/http/content_coding.h"

#include <algorithm>
#include <array>

#include "dataplane/http/characters.h"
#include "dataplane/http/parse.h"

namespace steelyard::http {
namespace {

// In thousandths; what cannot be read is 0. RFC 9110 section 12.4.2: at most three digits after the point, at most 1.
int quality_of(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1') || (text.size() > 1 && text[1] != '.')) {
    return 0;
  }
  int quality = 0;
  int unit = 1'000;
  for (const char digit : text) {
    if (digit == '.') {
      continue;
    }
    if (!digits.has(digit)) {
      return 0;
    }
    quality += (digit - '0') * unit;
    unit /= 10;
  }
  return quality <= 1'000 && std::ranges::count(text, '.') <= 1 ? quality : 0;
}

struct Wish {
  std::string_view coding;
  int quality = 1'000;
};

// codings [ OWS ";" OWS "q=" qvalue ]; another parameter than that is none that anybody knows.
Wish read_wish(std::string_view element) {
  const std::size_t semicolon = element.find(';');
  Wish wish{.coding = trimmed(element.substr(0, semicolon))};
  if (semicolon != std::string_view::npos) {
    const std::string_view weight = trimmed(element.substr(semicolon + 1));
    const bool is_weight = weight.size() > 2 && lower(weight[0]) == 'q' && weight[1] == '=';
    wish.quality = is_weight ? quality_of(weight.substr(2)) : 0;
  }
  return wish;
}

constexpr std::array<std::string_view, 4> digests{"Content-MD5", "Digest", "Content-Digest", "Repr-Digest"};

bool is_digest(std::string_view name) {
  return std::ranges::any_of(digests, [name](std::string_view digest) { return same_name(digest, name); });
}

constexpr bool has_compressible_status(std::uint16_t status) {
  return (status >= 200 && status <= 203) || status == 403 || status == 404;
}

bool is_long_enough(const Framing& framing, std::uint64_t least) {
  switch (framing.kind) {
    case BodyKind::none:
      return false;
    case BodyKind::length:
      return framing.length >= least && framing.length != 0;
    case BodyKind::chunked:
    case BodyKind::until_close:
      break;
  }
  return true;
}

bool is_listed(std::string_view content_type, const service::Gzip& gzip) {
  const std::string_view type = trimmed(content_type.substr(0, content_type.find(';')));
  return std::ranges::any_of(gzip.types, [type](const std::string& listed) { return same_name(listed, type); });
}

// RFC 9110 section 8.8.3.
bool is_entity_tag(std::string_view text) {
  if (text.starts_with("W/")) {
    text.remove_prefix(2);
  }
  return text.size() >= 2 && text.front() == '"' && text.find('"', 1) == text.size() - 1;
}

// A trailer with a digest of the content as it was would come too late to be left out.
bool announces_digest(std::string_view trailer) {
  return std::ranges::any_of(digests, [trailer](std::string_view digest) { return has_token(trailer, digest); });
}

}  // namespace

bool accepts_gzip(std::span<const Field> request) {
  constexpr int unnamed = -1;
  int gzip = unnamed;
  int any = unnamed;
  int identity = unnamed;
  const auto note = [](int& known, int quality) { known = known == unnamed ? quality : std::min(known, quality); };
  for (const Field& field : request) {
    if (!same_name(field.name, "Accept-Encoding")) {
      continue;
    }
    for_each_element(field.value, [&](std::string_view element) {
      const Wish wish = read_wish(element);
      if (same_name(wish.coding, "gzip") || same_name(wish.coding, "x-gzip")) {  // section 8.4.1.3: the same
        note(gzip, wish.quality);
      } else if (wish.coding == "*") {
        note(any, wish.quality);
      } else if (same_name(wish.coding, "identity")) {
        note(identity, wish.quality);
      }
    });
  }
  const int wanted = gzip != unnamed ? gzip : any;
  return wanted > 0 && wanted >= identity;
}

bool is_compressible(const ResponseHead& head, const service::Gzip& gzip) {
  if (!has_compressible_status(head.status) || !is_long_enough(head.framing, gzip.least_octets)) {
    return false;
  }
  std::size_t types = 0;
  std::size_t tags = 0;
  for (const Field& field : head.fields.all()) {
    if (same_name(field.name, "Content-Type")) {
      if (++types > 1 || !is_listed(field.value, gzip)) {
        return false;
      }
    } else if (same_name(field.name, "ETag")) {
      if (++tags > 1 || !is_entity_tag(field.value)) {
        return false;
      }
    } else if (same_name(field.name, "Content-Encoding") || same_name(field.name, "Content-Range") ||
               (same_name(field.name, "Cache-Control") && has_token(field.value, "no-transform")) ||
               (same_name(field.name, "Trailer") && announces_digest(field.value))) {
      return false;
    }
  }
  return types == 1;
}

bool tells_coding_varies(std::span<const Field> answer) {
  return std::ranges::any_of(answer, [](const Field& field) {
    return same_name(field.name, "Vary") && (has_token(field.value, "Accept-Encoding") || has_token(field.value, "*"));
  });
}

bool write_field_of_gzipped(HeadWriter& writer, const Field& field) {
  if (same_name(field.name, "ETag") && !field.value.starts_with("W/")) {
    writer.text(field.name);
    writer.text(": W/");
    writer.text(field.value);
    writer.end_line();
    return true;
  }
  return same_name(field.name, "Accept-Ranges") || is_digest(field.name);
}

}  // namespace steelyard::http

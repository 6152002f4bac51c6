// What both HTTP targets check: views lie in the input, a head's end does not depend on the pieces it comes in, and
// what a body reader passes on is, to a decoder that shares nothing with it, the content that came in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/http/body.h"
#include "dataplane/http/parse.h"
#include "tests/fuzz/input.h"

namespace steelyard::fuzz {

using Octets = std::span<const std::uint8_t>;

// Sizes of pieces: a small linear congruential generator, so that the input alone decides.
class Cuts {
 public:
  explicit Cuts(std::uint32_t seed) : state_(seed) {}
  std::size_t next() {
    state_ = state_ * 1664525U + 1013904223U;
    return 1 + (state_ >> 24U) % 24;
  }

 private:
  std::uint32_t state_;
};

inline void require_inside(std::string_view view, Octets octets) {
  if (view.empty()) {
    return;
  }
  const auto* const begin = reinterpret_cast<const char*>(octets.data());
  require(view.data() >= begin && view.data() + view.size() <= begin + octets.size());
}

inline void require_sound(const http::MessageHead& head, Octets octets) {
  require_inside(head.connection, octets);
  require_inside(head.upgrade, octets);
  for (const http::Field& field : head.fields.all()) {
    require_inside(field.name, octets);
    require_inside(field.value, octets);
  }
}

// Of a head that was taken: nothing in it could end a line when it is written anew.
inline void require_writable(std::string_view text) {
  require(text.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos);
}

inline void require_writable(const http::MessageHead& head) {
  std::size_t lengths = 0;
  std::size_t codings = 0;
  for (const http::Field& field : head.fields.all()) {
    require(!field.name.empty() && field.name.find_first_of(" \t:") == std::string_view::npos);
    require_writable(field.name);
    require_writable(field.value);
    lengths += http::same_name(field.name, "content-length") ? 1 : 0;
    codings += http::same_name(field.name, "transfer-encoding") ? 1 : 0;
  }
  require(lengths + codings <= 1);
  require((head.framing.kind == http::BodyKind::length) <= (lengths == 1));
  require((head.framing.kind == http::BodyKind::chunked) <= (codings == 1));
}

// Where the head ends; the same whatever the pieces.
inline std::optional<std::size_t> end_of_head(Octets octets, std::uint32_t seed) {
  http::HeadScanner whole;
  const auto end = whole.scan(octets);
  require(!end || *end <= octets.size());
  http::HeadScanner pieces;
  Cuts cuts{seed};
  std::size_t at = 0;
  std::optional<std::size_t> found;
  while (at < octets.size() && !found) {
    const std::size_t size = std::min(cuts.next(), octets.size() - at);
    found = pieces.scan(octets.subspan(at, size));
    at += found ? *found : size;
  }
  require(found.has_value() == end.has_value() && (!found || at == *end));
  return end;
}

struct ReadBody {
  std::string passed;
  std::size_t taken = 0;
  std::uint64_t content = 0;
  bool refused = false;
  bool complete = false;
};

template <typename NextSize>
ReadBody read_body(http::BodyReader reader, Octets octets, NextSize&& next_size) {
  ReadBody read;
  while (read.taken < octets.size() && !reader.complete()) {
    const std::vector<std::uint8_t> piece(
        octets.begin() + static_cast<std::ptrdiff_t>(read.taken),
        octets.begin() + static_cast<std::ptrdiff_t>(std::min(octets.size(), read.taken + next_size())));
    const auto step = reader.next(piece);
    if (step.kind == http::BodyReader::Step::Kind::refuse) {
      require(step.octets == 0 && *step.fault != '\0');
      read.refused = true;
      break;
    }
    require(step.octets != 0 && step.octets <= piece.size());
    if (step.kind == http::BodyReader::Step::Kind::pass) {
      read.passed.append(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(step.octets));
    }
    read.taken += step.octets;
  }
  read.complete = reader.complete();
  read.content = reader.content();
  return read;
}

// RFC 9112 section 7.1 by the letter, on a whole body without extensions: its content, or nothing when `body` is
// anything but one chunked body.
inline std::optional<std::string> decode_chunked(std::string_view body) {
  const auto line = [&body]() -> std::optional<std::string_view> {
    const std::size_t end = body.find("\r\n");
    if (end == std::string_view::npos) {
      return std::nullopt;
    }
    const std::string_view text = body.substr(0, end);
    body.remove_prefix(end + 2);
    return text;
  };
  std::string content;
  while (true) {
    const auto size_line = line();
    if (!size_line || size_line->empty() || size_line->size() > 16 ||
        size_line->find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
      return std::nullopt;
    }
    const std::size_t size = std::stoull(std::string(*size_line), nullptr, 16);
    if (size == 0) {
      break;
    }
    if (size > body.size() || body.substr(size, 2) != "\r\n") {
      return std::nullopt;
    }
    content += body.substr(0, size);
    body.remove_prefix(size + 2);
  }
  while (true) {
    const auto trailer = line();
    if (!trailer) {
      return std::nullopt;
    }
    if (trailer->empty()) {
      return body.empty() ? std::optional(content) : std::nullopt;
    }
    const std::size_t colon = trailer->find_first_of(": \t\r\n");
    if (colon == 0 || colon == std::string_view::npos || (*trailer)[colon] != ':' ||
        trailer->find_first_of("\r\n") != std::string_view::npos) {
      return std::nullopt;
    }
    const std::string_view name = trailer->substr(0, colon);
    require(!http::same_name(name, "content-length") && !http::same_name(name, "transfer-encoding") &&
            !http::same_name(name, "host"));
  }
}

inline void check_body(const http::Framing& framing, Octets octets, std::uint32_t seed) {
  const http::BodyReader reader{framing};
  const ReadBody whole = read_body(reader, octets, [&] { return octets.size(); });
  Cuts cuts{seed};
  const ReadBody pieces = read_body(reader, octets, [&] { return cuts.next(); });
  require(pieces.passed == whole.passed && pieces.taken == whole.taken && pieces.content == whole.content &&
          pieces.refused == whole.refused && pieces.complete == whole.complete);
  if (framing.kind != http::BodyKind::chunked) {
    require(!whole.refused && whole.passed.size() == whole.content && whole.taken == whole.content);
    require(framing.kind != http::BodyKind::length || whole.content <= framing.length);
    return;
  }
  const ReadBody content =
      read_body(http::BodyReader{framing, http::BodyReader::Chunks::removed}, octets, [&] { return octets.size(); });
  require(content.passed.size() == whole.content && content.taken == whole.taken && content.refused == whole.refused);
  // Content first, then trailers.
  const http::BodyReader unwrapped{framing, http::BodyReader::Chunks::unwrapped};
  const ReadBody both = read_body(unwrapped, octets, [&] { return octets.size(); });
  const ReadBody pieces_of_both = read_body(unwrapped, octets, [&] { return cuts.next(); });
  require(both.passed == pieces_of_both.passed && both.taken == whole.taken && both.refused == whole.refused);
  require(both.passed.starts_with(content.passed) &&
          (both.passed == content.passed || both.passed.size() > whole.content));
  if (whole.complete) {
    require(decode_chunked(whole.passed) == content.passed);
  }
}

}  // namespace steelyard::fuzz

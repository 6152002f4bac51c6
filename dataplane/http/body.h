// Where a message's body ends, and what of it is passed on. Payload is passed by reference, so a body is never copied:
// the reader looks at octets and says which ranges of them go on. Chunked bodies keep their framing, but what nobody
// needs and somebody might misread - chunk extensions - is left out, and whatever is not exactly RFC 9112 section 7.1
// is refused. A value, part of every exchange; pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/http/head.h"

namespace steelyard::http {

class BodyReader {
 public:
  BodyReader() = default;
  explicit BodyReader(const Framing& framing);

  // What is to be done with the next octets.
  struct Step {
    enum class Kind : std::uint8_t {
      pass,    // `octets` go on
      drop,    // `octets` are left out
      refuse,  // the body is malformed: nothing after this means anything; `octets` is 0
    };
    Kind kind = Kind::pass;
    std::size_t octets = 0;
    const char* fault = "";  // of refuse
  };
  // Looks at `octets`, not empty, which follow what the steps before have taken; at least one octet is taken, and never
  // more than belong to the body. Not to be called when it is complete.
  [[nodiscard]] Step next(std::span<const std::uint8_t> octets);

  // Has all of it been taken? Never of until_close.
  [[nodiscard]] bool complete() const;
  // Octets of content so far: without chunk framing.
  [[nodiscard]] std::uint64_t content() const { return content_; }
  [[nodiscard]] BodyKind kind() const { return kind_; }

 private:
  BodyKind kind_ = BodyKind::none;
  std::uint8_t state_ = 0;
  std::uint16_t count_ = 0;  // octets of the line at hand
  std::uint32_t trailer_octets_ = 0;
  std::uint64_t left_ = 0;  // of the body or the chunk
  std::uint64_t content_ = 0;
};

}  // namespace steelyard::http

// Where a message's body ends, and what of it is passed on. Payload is passed by reference, so a body is never copied:
// the reader looks at octets and says which ranges of them go on. Chunked bodies keep their framing, but what nobody
// needs and somebody might misread - chunk extensions - is left out, and whatever is not exactly RFC 9112 section 7.1
// is refused. For a client of HTTP/1.0, which knows no chunks, all framing is left out. A value, part of every
// exchange; pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/http/head.h"

namespace steelyard::http {

class BodyReader {
 public:
  enum class Chunks : std::uint8_t {
    kept,
    removed,    // only content passes, no trailers either; who gets it sees the end by the connection's
    unwrapped,  // content, and after it the trailers with the empty line: for who writes chunks of his own
  };

  BodyReader() = default;
  explicit BodyReader(const Framing& framing, Chunks chunks = Chunks::kept);

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
  // Has all content been taken, so that only trailers follow, or nothing? Never of until_close.
  [[nodiscard]] bool content_ended() const;
  // Octets of content so far: without chunk framing.
  [[nodiscard]] std::uint64_t content() const { return content_; }
  [[nodiscard]] BodyKind kind() const { return kind_; }

 private:
  enum class State : std::uint8_t;

  [[nodiscard]] Step next_of_chunks(std::span<const std::uint8_t> octets);
  [[nodiscard]] std::size_t take_data(std::size_t octets);
  // Take one octet that is not data; the fault, or null. After a fault members may have changed.
  [[nodiscard]] const char* take(char octet);
  [[nodiscard]] const char* take_of_size_line(char octet);
  [[nodiscard]] const char* take_of_trailers(char octet);
  [[nodiscard]] const char* take_of_trailer_name(char octet);
  [[nodiscard]] const char* end_size_line();
  [[nodiscard]] bool passes() const;

  BodyKind kind_ = BodyKind::none;
  Chunks chunks_ = Chunks::kept;
  State state_{};
  std::uint16_t count_ = 0;   // octets of the line with a chunk's size; of all trailers
  std::uint16_t excess_ = 0;  // octets of framing that content does not account for
  // Octets of the body or the chunk that are to come; in trailers a hash of the name.
  std::uint64_t left_ = 0;
  std::uint64_t content_ = 0;
};
static_assert(sizeof(BodyReader) == 24);  // one of every request and one of every answer under way

}  // namespace steelyard::http

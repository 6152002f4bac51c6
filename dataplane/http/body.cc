#include "dataplane/http/body.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "dataplane/http/characters.h"

namespace steelyard::http {
namespace {

constexpr std::uint64_t max_content = std::numeric_limits<std::int64_t>::max();  // more is negative for somebody
constexpr std::uint16_t max_size_digits = 16;                                    // leading zeros included
constexpr std::uint16_t max_size_line = 1'024;                                   // with extensions
constexpr std::uint16_t max_trailers = 8'192;
// Go's rule against bodies that are nearly all framing (CVE-2023-39326): a chunk's line is paid for by its data, 16
// octets and twice the data, and what is not may add up to 16 KB.
constexpr std::uint32_t max_excess = 16'384;
constexpr std::uint64_t free_octets = 16;
constexpr std::uint64_t ends_of_lines = 4;  // of the size's line and of the data

// FNV-1a, over small letters; "_" is "-" as it is for CGI and its heirs.
constexpr std::uint64_t hash_begin = 0xcbf29ce484222325U;
constexpr std::uint64_t hash_next(std::uint64_t hash, char octet) {
  const char folded = octet == '_' ? '-' : lower(octet);
  return (hash ^ static_cast<std::uint8_t>(folded)) * 0x100000001b3U;
}
constexpr std::uint64_t hash_of(std::string_view name) {
  std::uint64_t hash = hash_begin;
  for (const char octet : name) {
    hash = hash_next(hash, octet);
  }
  return hash;
}

// RFC 9110 section 6.5.1: trailers must not frame, route, modify the request, authenticate or describe the content;
// some recipients merge them into the fields all the same, behind the back of whoever has looked at those. A name is
// known by its hash, since it need not come in one piece; a collision refuses what would have been harmless.
constexpr std::array forbidden_trailers{hash_of("transfer-encoding"),
                                        hash_of("content-length"),
                                        hash_of("host"),
                                        hash_of("connection"),
                                        hash_of("keep-alive"),
                                        hash_of("proxy-connection"),
                                        hash_of("te"),
                                        hash_of("trailer"),
                                        hash_of("upgrade"),
                                        hash_of("http2-settings"),
                                        hash_of("expect"),
                                        hash_of("max-forwards"),
                                        hash_of("authorization"),
                                        hash_of("proxy-authorization"),
                                        hash_of("proxy-authenticate"),
                                        hash_of("www-authenticate"),
                                        hash_of("cookie"),
                                        hash_of("set-cookie"),
                                        hash_of("cache-control"),
                                        hash_of("pragma"),
                                        hash_of("range"),
                                        hash_of("if-match"),
                                        hash_of("if-none-match"),
                                        hash_of("if-modified-since"),
                                        hash_of("if-range"),
                                        hash_of("if-unmodified-since"),
                                        hash_of("content-encoding"),
                                        hash_of("content-type"),
                                        hash_of("content-range"),
                                        hash_of("location"),
                                        hash_of("forwarded"),
                                        hash_of("via"),
                                        hash_of("x-real-ip"),
                                        hash_of("client-ip")};
// What we tell servers about clients; a client must not.
constexpr std::array forbidden_prefixes{hash_of("x-forwarded-"), hash_of("slb-")};

constexpr Characters text_characters = visible | Characters{" \t"};
constexpr bool is_text(char octet) {  // RFC 9110 section 5.5
  return text_characters.has(octet) || static_cast<std::uint8_t>(octet) >= 0x80;
}

constexpr std::uint64_t digit_of(char octet) {
  return static_cast<std::uint64_t>(octet <= '9' ? octet - '0' : lower(octet) - 'a' + 10);
}

}  // namespace

// What is expected next.
enum class BodyReader::State : std::uint8_t {
  size_begin,
  size,
  blanks,     // between the size and an extension
  extension,  // up to the CR
  size_lf,
  data,
  data_cr,
  data_lf,
  trailer_begin,
  trailer_name,
  trailer_value,
  trailer_lf,
  end_lf,
  end,
};

BodyReader::BodyReader(const Framing& framing, Chunks chunks)
    : kind_(framing.kind), chunks_(chunks), left_(framing.kind == BodyKind::length ? framing.length : 0) {}

bool BodyReader::complete() const {
  switch (kind_) {
    case BodyKind::none:
      return true;
    case BodyKind::length:
      return left_ == 0;
    case BodyKind::chunked:
      return state_ == State::end;
    case BodyKind::until_close:
      break;
  }
  return false;
}

bool BodyReader::content_ended() const {
  return kind_ == BodyKind::chunked ? state_ >= State::trailer_begin : complete();
}

BodyReader::Step BodyReader::next(std::span<const std::uint8_t> octets) {
  if (complete()) {
    return {.kind = Step::Kind::refuse, .fault = "octets after the body"};
  }
  if (kind_ == BodyKind::chunked) {
    return next_of_chunks(octets);
  }
  std::size_t taken = octets.size();
  if (kind_ == BodyKind::length) {
    taken = static_cast<std::size_t>(std::min<std::uint64_t>(taken, left_));
    left_ -= taken;
  }
  content_ += taken;
  return {.kind = Step::Kind::pass, .octets = taken};
}

// Goes on as long as everything is to be passed, or everything to be left out. An octet that changes this, or is
// refused, is not taken unless it comes first.
BodyReader::Step BodyReader::next_of_chunks(std::span<const std::uint8_t> octets) {
  bool passing = false;
  std::size_t taken = 0;
  while (taken < octets.size() && state_ != State::end) {
    if (state_ == State::data) {
      if (taken != 0 && !passing) {
        break;
      }
      passing = true;
      taken += take_data(octets.size() - taken);
      continue;
    }
    // One by one: to copy the object, just written in parts, would stall at every octet. The LF that changes `excess_`
    // never is the first of its kind, nor refused after the change.
    const State state = state_;
    const std::uint16_t count = count_;
    const std::uint64_t left = left_;
    const char* const fault = take(static_cast<char>(octets[taken]));
    if (fault != nullptr || (taken != 0 && passing != passes())) {
      state_ = state;
      count_ = count;
      left_ = left;
      if (taken == 0) {
        return {.kind = Step::Kind::refuse, .fault = fault};
      }
      break;
    }
    passing = passes();
    ++taken;
  }
  return {.kind = passing ? Step::Kind::pass : Step::Kind::drop, .octets = taken};
}

std::size_t BodyReader::take_data(std::size_t octets) {
  const std::size_t taken = static_cast<std::size_t>(std::min<std::uint64_t>(octets, left_));
  left_ -= taken;
  content_ += taken;
  state_ = left_ == 0 ? State::data_cr : State::data;
  return taken;
}

// Does the octet that has led to this state go on?
bool BodyReader::passes() const {
  switch (chunks_) {
    case Chunks::kept:
      return state_ != State::blanks && state_ != State::extension;
    case Chunks::removed:
      return false;
    case Chunks::unwrapped:
      break;
  }
  // The LF of the last chunk's size leads to where trailers begin, as that of each trailer does.
  return state_ > State::trailer_begin || (state_ == State::trailer_begin && count_ != 0);
}

const char* BodyReader::take(char octet) {
  switch (state_) {
    case State::data_cr:
      state_ = State::data_lf;
      return octet == '\r' ? nullptr : "a chunk longer than its size";
    case State::data_lf:
      state_ = State::size_begin;
      return octet == '\n' ? nullptr : "a CR without LF after a chunk";
    case State::size_begin:
    case State::size:
    case State::blanks:
    case State::extension:
    case State::size_lf:
      return take_of_size_line(octet);
    default:
      return take_of_trailers(octet);
  }
}

// RFC 9112 section 7.1: chunk-size [ chunk-ext ] CRLF, the size being 1*HEXDIG. Of extensions, which are left out, only
// their end is looked for; blanks are allowed before them (section 7.1.1) and nowhere else.
const char* BodyReader::take_of_size_line(char octet) {
  if (state_ == State::size_lf) {
    return octet == '\n' ? end_size_line() : "a CR without LF in a chunk's line";
  }
  if (state_ == State::size_begin) {
    count_ = 0;
    left_ = 0;
  }
  if (++count_ > max_size_line) {
    return "a chunk's extensions are too long";
  }
  const bool after_size = state_ == State::size || state_ == State::blanks;
  if (state_ <= State::size && hex_digits.has(octet)) {
    if (count_ > max_size_digits) {
      return "a chunk's size has too many digits";
    }
    left_ = left_ << 4U | digit_of(octet);
    state_ = State::size;
  } else if (octet == '\r' && (state_ == State::size || state_ == State::extension)) {
    state_ = State::size_lf;
  } else if (after_size && is_blank(octet)) {
    state_ = State::blanks;
  } else if (after_size && octet == ';') {
    state_ = State::extension;
  } else if (state_ != State::extension) {
    return "a chunk's size is no hexadecimal number";
  } else if (!is_text(octet)) {
    return octet == '\n' ? "a LF without CR in a chunk's extension" : "a control character in a chunk's extension";
  }
  return nullptr;
}

const char* BodyReader::end_size_line() {
  if (left_ > max_content - content_) {
    return "a chunk is too large";
  }
  if (left_ == 0) {
    count_ = 0;
    state_ = State::trailer_begin;
    return nullptr;
  }
  const std::uint64_t spent = excess_ + count_ + ends_of_lines;
  const std::uint64_t paid = free_octets + 2 * std::min<std::uint64_t>(left_, max_excess);
  if (spent > paid + max_excess) {
    return "a body that is mostly framing";
  }
  excess_ = static_cast<std::uint16_t>(spent > paid ? spent - paid : 0);
  state_ = State::data;
  return nullptr;
}

// RFC 9112 section 7.1.2: *( field-line CRLF ) CRLF, as strict as in a head.
const char* BodyReader::take_of_trailers(char octet) {
  if (++count_ > max_trailers) {
    return "trailers are too long";
  }
  switch (state_) {
    case State::trailer_begin:
      left_ = hash_begin;
      if (octet == '\r') {
        state_ = State::end_lf;
        return nullptr;
      }
      return octet == ':' ? "a trailer without a name" : take_of_trailer_name(octet);
    case State::trailer_name:
      return take_of_trailer_name(octet);
    case State::trailer_value:
      if (octet == '\r') {
        state_ = State::trailer_lf;
        return nullptr;
      }
      return is_text(octet) ? nullptr : "a control character in a trailer";
    case State::trailer_lf:
      state_ = State::trailer_begin;
      return octet == '\n' ? nullptr : "a CR without LF in a trailer";
    default:
      state_ = State::end;
      return octet == '\n' ? nullptr : "a CR without LF after the body";
  }
}

const char* BodyReader::take_of_trailer_name(char octet) {
  constexpr const char* forbidden = "a trailer that must not be one";
  const auto is_in = [this](const auto& hashes) {
    return std::find(hashes.begin(), hashes.end(), left_) != hashes.end();
  };
  if (octet == ':') {
    state_ = State::trailer_value;
    return is_in(forbidden_trailers) ? forbidden : nullptr;
  }
  if (!token_characters.has(octet)) {
    return "a trailer's name is no token";
  }
  state_ = State::trailer_name;
  left_ = hash_next(left_, octet);
  return is_in(forbidden_prefixes) ? forbidden : nullptr;
}

}  // namespace steelyard::http

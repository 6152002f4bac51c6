#include "dataplane/http/lines.h"

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/http/characters.h"
#include "dataplane/http/parse.h"

namespace steelyard::http {
namespace {

constexpr std::size_t stride = 16;

__m128i load(const char* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

std::uint32_t bits_of(__m128i mask) {
  return static_cast<std::uint32_t>(_mm_movemask_epi8(mask));
}

// A bit for every octet that is a control character, tabs excepted.
std::uint32_t controls(__m128i octets) {
  const __m128i below_blank = _mm_cmpeq_epi8(_mm_min_epu8(octets, _mm_set1_epi8(0x1f)), octets);
  const __m128i tab = _mm_cmpeq_epi8(octets, _mm_set1_epi8('\t'));
  const __m128i del = _mm_cmpeq_epi8(octets, _mm_set1_epi8(0x7f));
  return bits_of(_mm_or_si128(_mm_andnot_si128(tab, below_blank), del));
}

std::uint32_t line_ends(__m128i octets) {
  return bits_of(
      _mm_or_si128(_mm_cmpeq_epi8(octets, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(octets, _mm_set1_epi8('\n'))));
}

// Looks at the control characters of a head one after the other; they are few, nearly all of them ends of lines.
class LineCheck {
 public:
  explicit LineCheck(std::string_view head) : head_(head) {}

  // False: a fault.
  bool see(std::size_t at) {
    switch (head_[at]) {
      case '\r':
        return at + 1 < head_.size() && head_[at + 1] == '\n' ? true : fail("a CR without LF");
      case '\n':
        return at != 0 && head_[at - 1] == '\r' ? end_line(at) : fail("a LF without CR");
      case '\0':
        return fail("a NUL");
      default:
        return fail("a control character");
    }
  }

  [[nodiscard]] Lines result() const {
    return {.fault = fault_ != nullptr ? fault_ : (ended_ ? nullptr : "no empty line at the end"),
            .fields = lines_ < 2 ? 0 : lines_ - 2};
  }

 private:
  bool fail(const char* fault) {
    fault_ = fault;
    return false;
  }

  bool end_line(std::size_t at) {
    const std::size_t next = at + 1;
    ++lines_;
    if (at - begin_ == 1) {
      ended_ = true;
      return next == head_.size() && lines_ > 1 ? true : fail("an empty line before the end");
    }
    begin_ = next;
    // RFC 9112 section 5.2: a folded field is refused. Section 2.2: so is white space before the first field.
    return next < head_.size() && is_blank(head_[next]) ? fail("a folded line") : true;
  }

  std::string_view head_;
  const char* fault_ = nullptr;
  std::size_t begin_ = 0;  // of the line at hand
  std::size_t lines_ = 0;
  bool ended_ = false;
};

bool see_all(LineCheck& check, std::uint32_t bits, std::size_t at) {
  for (; bits != 0; bits &= bits - 1) {
    if (!check.see(at + static_cast<std::size_t>(std::countr_zero(bits)))) {
      return false;
    }
  }
  return true;
}

// The first CR or LF at or after `at`, or the size.
std::size_t find_line_end(std::span<const std::uint8_t> octets, std::size_t at) {
  for (; octets.size() - at >= stride; at += stride) {
    const std::uint32_t bits = line_ends(_mm_loadu_si128(reinterpret_cast<const __m128i*>(&octets[at])));
    if (bits != 0) {
      return at + static_cast<std::size_t>(std::countr_zero(bits));
    }
  }
  while (at < octets.size() && octets[at] != '\r' && octets[at] != '\n') {
    ++at;
  }
  return at;
}

// Where a scan stands. A line's end is CR LF, LF, or CR; two of them in a row end the head.
enum Place : std::uint8_t {
  at_start,       // nothing has come
  at_start_cr,    // a CR before the first line
  in_line,        // in the middle of a line
  after_cr,       // of a line with something in it
  at_line,        // at the start of a line
  after_line_cr,  // after a CR at the start of a line
  at_end,
};

Place after(Place place, std::uint8_t octet) {
  const bool cr = octet == '\r';
  const bool lf = octet == '\n';
  switch (place) {
    case at_start:
      return cr ? at_start_cr : lf ? at_line : in_line;
    case at_start_cr:
    case after_cr:
      return cr ? at_end : lf ? at_line : in_line;
    case in_line:
      return cr ? after_cr : lf ? at_line : in_line;
    case at_line:
      return cr ? after_line_cr : lf ? at_end : in_line;
    case after_line_cr:
    case at_end:
      break;
  }
  return at_end;
}

}  // namespace

Lines check_lines(std::string_view head) {
  LineCheck check{head};
  std::size_t at = 0;
  for (; head.size() - at >= stride; at += stride) {
    if (!see_all(check, controls(load(&head[at])), at)) {
      return check.result();
    }
  }
  std::array<char, stride> rest;
  rest.fill(' ');
  std::copy(head.begin() + static_cast<std::ptrdiff_t>(at), head.end(), rest.begin());
  see_all(check, controls(load(rest.data())), at);
  return check.result();
}

std::optional<std::size_t> HeadScanner::scan(std::span<const std::uint8_t> octets) {
  auto place = static_cast<Place>(state_);
  std::size_t at = 0;
  while (at < octets.size() && place != at_end) {
    if (place == in_line) {
      at = find_line_end(octets, at);
      if (at == octets.size()) {
        break;
      }
    }
    const bool lone_cr = place == after_line_cr && octets[at] != '\n';
    place = after(place, octets[at]);
    at += lone_cr ? 0 : 1;  // what follows a CR alone is no part of the line that it ends
  }
  state_ = place;
  return place == at_end ? std::optional(at) : std::nullopt;
}

}  // namespace steelyard::http

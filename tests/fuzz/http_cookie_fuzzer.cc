// Cookie and Set-Cookie fields of any octets: what is stripped is gone and nothing else is, marks come and go without a
// trace, and whatever is read as ours is what we would have written.
//
// Input: the field. Octets 1 to 7 stand for a value that is valid, expired, of a server that is gone, a mark, a mark of
// a gone server, and the names of our cookie and of the application's.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/http/cookie_edit.h"
#include "tests/fuzz/input.h"

namespace {

using namespace steelyard::http;
using steelyard::fuzz::require;

constexpr std::uint32_t now = 1'800'000'000;
constexpr std::uint32_t timeout = 300;
constexpr std::string_view ours = "SERVERID";
constexpr std::string_view theirs = "JSESSIONID";
constexpr std::uint64_t known_server = 42;

const SessionCookies& cookies() {
  static const SessionCookies made{CookieKey{}};
  return made;
}

std::string field_of(const std::uint8_t* data, std::size_t size) {
  static const std::array<std::string, 7> words{
      std::string(cookies().write({{known_server}, now, 1}).view()),
      std::string(cookies().write({{known_server}, now - timeout - 1, 1}).view()),
      std::string(cookies().write({{7}, now, 1}).view()),
      std::string(cookies().mark_of({known_server}).view()),
      std::string(cookies().mark_of({7}).view()),
      std::string(ours),
      std::string(theirs)};
  std::string field;
  for (std::size_t place = 0; place < size; ++place) {
    if (data[place] != 0 && data[place] <= words.size()) {
      field += words[data[place] - 1U];
    } else {
      field += static_cast<char>(data[place]);
    }
  }
  return field;
}

std::vector<CookieList::Cookie> cookies_in(std::string_view field) {
  std::vector<CookieList::Cookie> all;
  for (CookieList list(field);;) {
    const auto cookie = list.next();
    if (!cookie) {
      return all;
    }
    require(!cookie->whole.empty() && cookie->whole.find(';') == std::string_view::npos);
    all.push_back(*cookie);
  }
}

template <class Pieces>
std::string joined(Pieces pieces) {
  std::string text;
  for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
    text += piece;
  }
  require(pieces.next().empty());
  return text;
}

void check_stripping(const std::string& field) {
  const std::string rest = joined(StrippedCookies(field, ours));
  std::vector<std::string_view> expected;
  for (const auto& cookie : cookies_in(field)) {
    if (cookie.name != ours) {
      expected.push_back(cookie.whole);
    }
  }
  std::vector<std::string_view> left;
  for (const auto& cookie : cookies_in(rest)) {
    require(cookie.name != ours);
    left.push_back(cookie.whole);
  }
  require(left == expected);
  require(rest.empty() == expected.empty());
  require(rest.size() <= field.size() + 2 * expected.size());
}

void check_finding(const std::string& field) {
  const std::array<Field, 1> fields{Field{"Cookie", field}};
  const steelyard::service::ServerTags tags({known_server});
  const Session session = find_inserted(fields, ours, cookies(), tags, now, timeout);
  std::size_t checked = 0;
  bool valid = false;
  for (const auto& cookie : cookies_in(field)) {
    if (cookie.name == ours && checked++ < most_checked) {
      const auto stamp = cookies().read(cookie.value, now, timeout);
      require(!stamp || cookies().write(*stamp).view() == cookie.value);
      valid = valid || (stamp && stamp->server.value == known_server);
    }
  }
  require((session.verdict == CookieVerdict::valid) == valid);
  require((session.verdict == CookieVerdict::absent) == (checked == 0));
}

void check_unmarking(const std::string& field) {
  const std::string rest = joined(UnmarkedCookies(field, theirs, cookies()));
  const auto before = cookies_in(field);
  const auto after = cookies_in(rest);
  require(before.size() == after.size());
  std::size_t taken = 0;
  std::size_t checked = 0;
  for (std::size_t place = 0; place < before.size(); ++place) {
    const std::string_view value = before[place].value;
    const std::size_t quote = value.starts_with('"') ? 1 : 0;
    const bool marked = before[place].name == theirs && checked++ < most_checked &&
                        cookies().read_mark(value.substr(quote)).has_value();
    taken += marked ? SessionCookies::mark_octets : 0U;
    require(after[place].name == before[place].name);
    require(after[place].value.size() == value.size() - (marked ? SessionCookies::mark_octets : 0U) || marked);
  }
  require(rest.size() + taken == field.size());
}

void check_marking(std::string set_cookie) {
  const auto place = place_of_mark(set_cookie, theirs);
  if (!place) {
    return;
  }
  require(*place <= set_cookie.size());
  const std::string pair = set_cookie.substr(0, set_cookie.find(';'));
  std::string marked = pair;
  marked.insert(*place, cookies().mark_of({known_server}).view());
  const std::array<Field, 1> fields{Field{"cookie", marked}};
  const Session session = find_marked(fields, theirs, cookies(), steelyard::service::ServerTags({known_server}));
  require(session.verdict == CookieVerdict::valid);
  require(joined(UnmarkedCookies(marked, theirs, cookies())) == pair);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string field = field_of(data, size);
  check_stripping(field);
  check_finding(field);
  check_unmarking(field);
  check_marking(field);
  return 0;
}

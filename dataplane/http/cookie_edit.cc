#include "dataplane/http/cookie_edit.h"

#include <algorithm>
#include <utility>

namespace steelyard::http {
namespace {

constexpr std::string_view separator = "; ";

// Where a value's mark stands, or is to be put.
std::size_t mark_place(std::string_view value) {
  return value.starts_with('"') ? 1 : 0;
}

// Calls `look` with the values of that name, in order, until it is content.
template <class Look>
void for_each_value(std::span<const Field> fields, std::string_view name, const Look& look) {
  std::size_t checked = 0;
  for (const Field& field : fields) {
    if (!is_cookie_field(field.name)) {
      continue;
    }
    CookieList list(field.value);
    while (const auto cookie = list.next()) {
      if (cookie->name == name && (look(cookie->value) || ++checked == most_checked)) {
        return;
      }
    }
  }
}

// `verdict` is the first valid one's, or the one that has come furthest: that is their order.
void raise(CookieVerdict& verdict, CookieVerdict other) {
  static_assert(CookieVerdict::absent < CookieVerdict::invalid && CookieVerdict::invalid < CookieVerdict::expired &&
                CookieVerdict::expired < CookieVerdict::down);
  verdict = std::max(verdict, other);
}

}  // namespace

bool is_cookie_field(std::string_view field_name) {
  constexpr std::string_view cookie = "cookie";
  return field_name.size() == cookie.size() && std::ranges::equal(field_name, cookie, {}, [](char octet) {
           return octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet | 0x20) : octet;
         });
}

Session find_inserted(std::span<const Field> fields, std::string_view name, const SessionCookies& cookies,
                      const service::ServerTags& tags, std::uint32_t now, std::uint32_t timeout) {
  Session session;
  for_each_value(fields, name, [&](std::string_view value) {
    const auto stamp = cookies.read(value, now, timeout);
    if (!stamp) {
      raise(session.verdict,
            stamp.error() == SessionCookies::Fault::expired ? CookieVerdict::expired : CookieVerdict::invalid);
      return false;
    }
    const auto server = tags.find(stamp->server.value);
    if (!server) {
      raise(session.verdict, CookieVerdict::down);
      return false;
    }
    session = {CookieVerdict::valid, *server, *stamp};
    return true;
  });
  return session;
}

Session find_marked(std::span<const Field> fields, std::string_view name, const SessionCookies& cookies,
                    const service::ServerTags& tags) {
  Session session;
  for_each_value(fields, name, [&](std::string_view value) {
    const auto tag = cookies.read_mark(value.substr(mark_place(value)));
    const auto server = tag ? tags.find(tag->value) : std::nullopt;
    if (!server) {
      raise(session.verdict, tag ? CookieVerdict::down : CookieVerdict::invalid);
      return false;
    }
    session = {CookieVerdict::valid, *server, {}};
    return true;
  });
  return session;
}

// Cookies that stand side by side and stay, with what is between them.
std::string_view StrippedCookies::next_run() {
  std::string_view run;
  while (const auto cookie = list_.next()) {
    const bool stripped = cookie->name == name_;
    if (stripped && !run.empty()) {
      return run;
    }
    if (!stripped) {
      const char* begin = run.empty() ? cookie->whole.data() : run.data();
      run = {begin, static_cast<std::size_t>(cookie->whole.data() + cookie->whole.size() - begin)};
    }
  }
  return run;
}

std::string_view StrippedCookies::next() {
  if (!waiting_.empty()) {
    return std::exchange(waiting_, {});
  }
  const std::string_view run = next_run();
  if (!begun_ || run.empty()) {
    begun_ = true;
    return run;
  }
  waiting_ = run;
  return separator;
}

std::string_view UnmarkedCookies::next() {
  while (checked_ < most_checked) {
    const auto cookie = list_.next();
    if (!cookie) {
      break;
    }
    if (cookie->name != name_) {
      continue;
    }
    ++checked_;
    const std::string_view marked = cookie->value.substr(mark_place(cookie->value));
    if (cookies_.read_mark(marked)) {
      const auto before = static_cast<std::size_t>(marked.data() - rest_.data());
      const std::string_view piece = rest_.substr(0, before);
      rest_.remove_prefix(before + SessionCookies::mark_octets);
      return piece;
    }
  }
  return std::exchange(rest_, {});
}

std::optional<std::size_t> place_of_mark(std::string_view set_cookie, std::string_view name) {
  const std::string_view pair = set_cookie.substr(0, set_cookie.find(';'));
  const std::size_t equals = pair.find('=');
  if (equals == std::string_view::npos || trimmed(pair.substr(0, equals)) != name) {
    return std::nullopt;
  }
  const std::string_view after = pair.substr(equals + 1);
  const std::size_t white = std::min(after.find_first_not_of(" \t"), after.size());
  return equals + 1 + white + mark_place(after.substr(white));
}

}  // namespace steelyard::http

#include "dataplane/http/date.h"

#include <algorithm>
#include <chrono>

namespace steelyard::http {
namespace {

constexpr std::string_view days = "SunMonTueWedThuFriSat";
constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
constexpr std::string_view form = "Sun, 00 Jan 0000 00:00:00 GMT";

}  // namespace

void Date::write(std::uint64_t seconds) {
  seconds_ = seconds;
  const std::chrono::sys_seconds time{std::chrono::seconds{seconds}};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const auto clock = static_cast<unsigned>((time - day).count());
  const auto digits = [this](std::size_t place, std::size_t count, unsigned number) {
    for (; count != 0; --count, number /= 10) {
      text_[place + count - 1] = static_cast<char>('0' + number % 10);
    }
  };
  const auto word = [this](std::size_t place, std::string_view words, unsigned which) {
    std::ranges::copy(words.substr(std::size_t{3} * which, 3), text_.begin() + static_cast<std::ptrdiff_t>(place));
  };
  std::ranges::copy(form, text_.begin());
  word(0, days, std::chrono::weekday{day}.c_encoding());
  digits(5, 2, static_cast<unsigned>(date.day()));
  word(8, months, static_cast<unsigned>(date.month()) - 1);
  digits(12, 4, static_cast<unsigned>(static_cast<int>(date.year())));
  digits(17, 2, clock / 3600);
  digits(20, 2, clock / 60 % 60);
  digits(23, 2, clock % 60);
}

}  // namespace steelyard::http

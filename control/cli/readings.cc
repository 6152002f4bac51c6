#include "control/cli/readings.h"

#include <array>
#include <ctime>
#include <utility>

#include "control/cli/fields.h"
#include "control/cli/rates.h"

namespace steelyard::control::cli {

tl::expected<Reading, AdminError> Readings::next() {
  auto answer = client_.call({{"command", "stats"}});
  if (!answer) {
    return tl::unexpected(std::move(answer).error());
  }
  Reading reading{as_object(*answer), std::nullopt, false};
  if (before_) {
    reading.rates = rates_between(*before_, reading.stats);
    reading.restarted = !same_process(*before_, reading.stats);
  }
  before_ = reading.stats;
  return reading;
}

std::string heading(const Reading& reading) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> time{};
  const std::size_t length = std::strftime(time.data(), time.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  std::string out(time.data(), length);
  out += "  steelyard up " + duration(number(reading.stats, "uptime_s"));
  if (reading.restarted) {
    out += "  it was restarted: its counters began anew";
  } else if (reading.rates) {
    out += "  rates of the last " + per_second(*reading.rates, "interval_s") + " s";
  }
  return out + '\n';
}

}  // namespace steelyard::control::cli

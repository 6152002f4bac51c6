// Readings of a process's counters, one after the other, with what they grew by in between. For command-line programs.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "control/admin/admin_client.h"

namespace steelyard::control::cli {

struct Reading {
  boost::json::object stats;
  std::optional<boost::json::object> rates;  // see rates_between(); none with the first reading of a process
  bool restarted = false;                    // the reading before was of another process
};

class Readings {
 public:
  // `interrupt`: see AdminClient.
  Readings(std::string socket_path, int interrupt) : client_(std::move(socket_path), patience, interrupt) {}

  // Asks the process now.
  [[nodiscard]] tl::expected<Reading, AdminError> next();

 private:
  // A live view says soon that it gets no answer, and asks again.
  static constexpr std::chrono::seconds patience{5};

  AdminClient client_;
  std::optional<boost::json::object> before_;
};

// The first line of a picture: the time, how long the process runs, what the rates are of.
[[nodiscard]] std::string heading(const Reading& reading);

}  // namespace steelyard::control::cli

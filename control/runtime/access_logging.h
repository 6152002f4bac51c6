// The access log of the running process: what the configuration says of it, the names that its lines need, and what is
// said when lines are lost. Control thread.
#pragma once

#include <memory>
#include <optional>

#include "control/access_log/access_log.h"
#include "control/config/model.h"
#include "control/runtime/builder.h"
#include "dataplane/worker/dataplane.h"

namespace steelyard::control {

class AccessLogging {
 public:
  // `dataplane` has http listeners, and outlives it; its workers stop before.
  explicit AccessLogging(worker::Dataplane& dataplane);

  // Before the plan is published: a request of it must find its names.
  void apply(const Plan& plan);
  // After its file was renamed (SIGUSR1).
  void reopen() { log_.reopen(); }

  [[nodiscard]] std::uint64_t written() const { return log_.written(); }
  [[nodiscard]] std::uint64_t lost() const { return log_.lost(); }

 private:
  access_log::AccessLog log_;
  std::optional<config::AccessLog> in_force_;
};

}  // namespace steelyard::control

// The access controls of listeners, made from the lists that they name. Listeners that name the same lists share one,
// and while the lists say the same it stays over reloads, so that an unchanged listener stays unchanged. Builder
// thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config/model.h"
#include "dataplane/service/access_control.h"

namespace steelyard::control {

class AccessControls {
 public:
  // A new configuration follows.
  void begin() { before_ = std::exchange(now_, {}); }
  // Of one listener; null: it lets everybody in. `config` is valid and the same since begin().
  [[nodiscard]] std::shared_ptr<const service::AccessControl> get(const config::Config& config,
                                                                  const std::optional<config::ListenerAccess>& wanted);

 private:
  using Key = std::pair<service::AccessType, std::vector<std::string>>;  // names in order, each once
  using Map = std::map<Key, std::shared_ptr<const service::AccessControl>>;
  Map before_;
  Map now_;
};

}  // namespace steelyard::control

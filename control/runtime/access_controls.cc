#include "control/runtime/access_controls.h"

#include <algorithm>

namespace steelyard::control {

std::shared_ptr<const service::AccessControl> AccessControls::get(const config::Config& config,
                                                                  const std::optional<config::ListenerAccess>& wanted) {
  if (!wanted) {
    return nullptr;
  }
  Key key{wanted->type, {}};
  std::ranges::transform(wanted->lists, std::back_inserter(key.second), &config::ListenerAccess::Name::name);
  std::ranges::sort(key.second);
  key.second.erase(std::unique(key.second.begin(), key.second.end()), key.second.end());
  if (const auto known = now_.find(key); known != now_.end()) {
    return known->second;
  }
  std::vector<service::Prefix> sources;
  for (const std::string& name : key.second) {
    if (const config::AccessControlList* list = config::find_access_control_list(config, name); list != nullptr) {
      std::ranges::transform(list->entries, std::back_inserter(sources), &config::AccessEntry::network);
    }
  }
  auto made = std::make_shared<const service::AccessControl>(wanted->type, sources);
  if (const auto old = before_.find(key); old != before_.end() && *old->second == *made) {
    made = old->second;
  }
  return now_.emplace(std::move(key), std::move(made)).first->second;
}

}  // namespace steelyard::control

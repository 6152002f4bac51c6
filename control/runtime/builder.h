// From a validated configuration to what workers read: stable ids, listeners with their servers, indexes, routes. Parts
// that did not change are taken over from the snapshot before, so that a one-server change touches one listener.
// Pure but for the ids it hands out; runs on the builder thread.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "control/config/model.h"
#include "control/runtime/access_controls.h"
#include "control/runtime/id_registry.h"
#include "control/runtime/overrides.h"
#include "dataplane/service/snapshot.h"
#include "healthcheck/scheduler.h"

namespace steelyard::control {

// One server of one listener, with everything control needs to show and check it.
struct BackendPlan {
  service::BackendId id;
  ServerKey key;
  std::string name;  // may be empty
  std::uint16_t port = 0;
  std::uint8_t configured_weight = 100;
  std::uint8_t weight = 100;  // in force
  AdminState admin = AdminState::enabled;
  bool overridden = false;
  bool checked = false;
  std::uint32_t max_connections = 0;  // 0: no limit
};

struct ListenerPlan {
  service::ListenerId id;
  std::size_t balancer = 0;  // places in the configuration
  std::size_t listener = 0;
  std::string group;
  bool primary_secondary = false;
  std::vector<BackendPlan> backends;  // parallel to the snapshot's servers
};

// A snapshot and what control knows beside it.
struct Plan {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const service::Snapshot> snapshot;
  std::vector<ListenerPlan> listeners;  // in the order of the file
  std::vector<healthcheck::Target> targets;
};

// What makes a server of a listener the same one over reloads.
struct BackendKey {
  service::VipKey listener;
  service::Address address;
  std::uint16_t port = 0;
  friend auto operator<=>(const BackendKey&, const BackendKey&) = default;
};

class PlanBuilder {
 public:
  // `workers`: how many scratch areas a listener gets.
  explicit PlanBuilder(std::size_t workers);

  // `previous` may be null. An error is a sentence: too many listeners or servers.
  [[nodiscard]] tl::expected<Plan, std::string> build(std::shared_ptr<const config::Config> config,
                                                      const Overrides& overrides, const Plan* previous);

  // Puts the overrides of one group's servers in force: a new snapshot that shares everything else. Cheap enough for
  // the control thread: the listeners of that group are copied, nothing is looked up.
  void override_group(Plan& plan, const Overrides& overrides, std::string_view group);

  // Ids below these are in use; Dataplane::commit wants to know before a plan is published.
  [[nodiscard]] std::size_t listeners_end() const { return listener_ids_.end(); }
  [[nodiscard]] std::size_t backends_end() const { return backend_ids_.end(); }
  // Lets ids that nothing counts any more be used again.
  void release_ids(std::chrono::steady_clock::time_point now, const std::function<bool(service::BackendId)>& idle);

 private:
  struct Work;
  tl::expected<void, std::string> add_listener(Work& work, std::size_t balancer, std::size_t listener);
  void add_targets(Work& work, const config::Listener& listener, const ListenerPlan& plan);

  std::size_t workers_;
  std::uint64_t generation_ = 0;
  AccessControls access_controls_;
  std::set<service::VipKey> once_nat_;  // listeners that are in `nat` mode, or were before a reload
  IdRegistry<service::VipKey> listener_ids_;
  IdRegistry<BackendKey> backend_ids_;
};

}  // namespace steelyard::control

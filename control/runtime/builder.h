// From a validated configuration to what workers read: stable ids, listeners with their servers, indexes, routes. Parts
// that did not change are taken over from the snapshot before, so that a one-server change touches one listener.
// Pure but for the ids it hands out; runs on the builder thread.
#pragma once

#include <functional>
#include <map>
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
#include "dataplane/worker/server_tags.h"
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
  bool backup = false;
};

// What makes a listener, or a target of an http listener's rules, the same one over reloads.
struct ListenerKey {
  service::VipKey vip;
  std::string target;  // empty: the listener itself; else HttpTarget::name
  friend auto operator<=>(const ListenerKey&, const ListenerKey&) = default;
};

struct ListenerPlan {
  service::ListenerId id;
  ListenerKey key;
  std::size_t balancer = 0;  // places in the configuration
  std::size_t listener = 0;
  std::string group;  // empty: a redirect, which has none
  std::string rule;   // of a target: HttpTarget::rules; empty: the listener itself
  bool primary_secondary = false;
  std::vector<BackendPlan> backends;  // parallel to the snapshot's servers
};

// A snapshot and what control knows beside it.
struct Plan {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const service::Snapshot> snapshot;
  std::vector<ListenerPlan> listeners;  // in the order of the file, targets behind their listener
  std::vector<healthcheck::Target> targets;
};

// What makes a server of a listener the same one over reloads.
struct BackendKey {
  ListenerKey listener;
  service::Address address;
  std::uint16_t port = 0;
  friend auto operator<=>(const BackendKey&, const BackendKey&) = default;
};

class PlanBuilder {
 public:
  // `workers`: how many scratch areas a listener gets. `cookie_key`: of session cookies.
  PlanBuilder(std::size_t workers, const http::CookieKey& cookie_key);

  // `previous` may be null. An error is a sentence: too many listeners or servers.
  [[nodiscard]] tl::expected<Plan, std::string> build(std::shared_ptr<const config::Config> config,
                                                      const Overrides& overrides, const Plan* previous);

  // Puts the overrides of one group's servers in force: a new snapshot that shares everything else. Cheap enough for
  // the control thread: the listeners of that group are copied, nothing is looked up.
  void override_group(Plan& plan, const Overrides& overrides, std::string_view group);

  // Ids below these are in use; Dataplane::commit wants to know before a plan is published.
  [[nodiscard]] std::size_t listeners_end() const { return listener_ids_.end(); }
  [[nodiscard]] std::size_t backends_end() const { return backend_ids_.end(); }
  // Lets ids that nothing counts any more be used again. `left`: no client is connected to that listener at layer 7.
  void release_ids(std::chrono::steady_clock::time_point now, const std::function<bool(service::BackendId)>& idle,
                   const std::function<bool(service::ListenerId)>& left);

 private:
  struct Work;
  struct Wanted;
  tl::expected<void, std::string> add_listener(Work& work, std::size_t balancer, std::size_t listener);
  tl::expected<service::ListenerId, std::string> assign(Work& work, const ListenerKey& key);
  tl::expected<void, std::string> add(Work& work, const Wanted& wanted);
  tl::expected<void, std::string> add_servers(Work& work, const Wanted& wanted, service::Listener& built,
                                              ListenerPlan& plan);
  void complete(Work& work, const Wanted& wanted, const service::Listener* old, service::Listener& built);
  void index(Work& work, const service::Listener& built);
  void index_retired(Work& work);

  std::size_t workers_;
  http::CookieKey cookie_key_;
  std::uint64_t generation_ = 0;
  AccessControls access_controls_;
  std::set<service::VipKey> once_nat_;  // listeners that are in `nat` mode, or were before a reload
  // Http listeners, and those that were ones and have clients yet.
  struct OnceHttp {
    service::ListenerId id;
    bool layer4_now = false;
  };
  std::map<service::VipKey, OnceHttp> once_http_;
  IdRegistry<ListenerKey> listener_ids_;
  IdRegistry<BackendKey> backend_ids_;
};

}  // namespace steelyard::control

// Everything that alters what workers do: reloads, health, drains.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "control/config/restart.h"
#include "control/config/validate.h"
#include "control/runtime/runtime.h"

namespace steelyard::control {
namespace {

using std::chrono::steady_clock;

// What a reload came to, made on the builder thread.
struct ReloadResult {
  std::optional<Plan> plan;
  std::vector<std::string> warnings;
  std::string refusal;  // all reasons, a line each
};

// Tells the workers what a reload has changed about a server that is in use. True when it is down from now on.
bool take_as(service::ListenerState& live, std::size_t server, bool up) {
  if (live.states[server].up.load(std::memory_order_relaxed) == up) {
    return false;
  }
  live.states[server].recovered_at.store(0, std::memory_order_relaxed);
  live.states[server].up.store(up, std::memory_order_relaxed);
  live.epoch.fetch_add(1, std::memory_order_release);
  return !up;
}

// Whether what a server leaves behind ends with it. An exchange of UDP datagrams has no end to wait for: its client
// would talk to a dead server for as long as it talks.
bool ends_at_once(service::OrphanPolicy policy, const config::Listener& settings) {
  return policy == service::OrphanPolicy::reset || settings.protocol == config::Protocol::udp;
}

ReloadResult prepare(PlanBuilder& builder, const std::string& file, const Plan& running) {
  ReloadResult result;
  config::ParseResult loaded = config::load(file);
  for (const config::Diagnostic& diagnostic : loaded.diagnostics) {
    if (diagnostic.severity == config::Severity::warning) {
      result.warnings.push_back(config::to_string(diagnostic));
    } else {
      result.refusal += config::to_string(diagnostic) + '\n';
    }
  }
  if (!loaded.config) {
    return result;
  }
  for (const std::string& setting : config::settings_that_need_restart(*running.config, *loaded.config)) {
    result.refusal +=
        file + ": error: " + setting + " differs from the running configuration; it can only change with a restart\n";
  }
  if (!result.refusal.empty()) {
    return result;
  }
  auto plan = builder.build(std::make_shared<const config::Config>(std::move(*loaded.config)), {}, &running);
  if (plan) {
    result.plan = std::move(*plan);
  } else {
    result.refusal = file + ": error: " + plan.error() + '\n';
  }
  return result;
}

boost::json::value refusal(const std::string& why) {
  return boost::json::object{{"ok", false}, {"error", why}};
}

constexpr const char* stopping = "the process is stopping";

boost::json::value answer_of(const ReloadResult& result, std::uint64_t generation) {
  if (!result.refusal.empty()) {
    return refusal(result.refusal);
  }
  boost::json::object answer;
  boost::json::array warnings;
  for (const std::string& warning : result.warnings) {
    warnings.emplace_back(warning);
  }
  answer["ok"] = true;
  answer["result"] = boost::json::object{{"generation", generation}, {"warnings", std::move(warnings)}};
  return answer;
}

}  // namespace

std::optional<std::chrono::seconds> drain_of(const config::Listener& settings) {
  return settings.protocol == config::Protocol::tcp ? settings.connection_drain : std::nullopt;
}

// Reads, checks and builds on the builder thread; the io thread goes on with its probes meanwhile. Reloads that are
// asked for while one is under way are answered by the one after it.
void Runtime::reload(Reply reply) {
  if (shutdown_deadline_) {
    waiting_reloads_.push_back(std::move(reply));
    refuse_waiting_reloads();
    return;
  }
  waiting_reloads_.push_back(std::move(reply));
  if (building_) {
    return;
  }
  building_ = true;
  std::vector<Reply> served = std::exchange(waiting_reloads_, {});
  boost::asio::post(builder_thread_, [this, served = std::move(served)]() mutable {
    auto result = std::make_shared<ReloadResult>();
    try {
      *result = prepare(builder_, options_.config_file, plan_);
      if (result->plan) {
        dataplane_->commit_sources(*result->plan->snapshot);
        dataplane_->commit_addresses(*result->plan->snapshot);
      }
    } catch (const std::exception& error) {
      result->plan.reset();
      result->refusal = std::string("the configuration could not be built: ") + error.what();
    }
    boost::asio::post(io_, [this, result, served = std::move(served)] {
      building_ = false;
      if (shutdown_deadline_) {
        // The stop came while this was being built: what counts now is that nothing new begins.
        result->plan.reset();
        result->refusal = stopping;
        close_listeners();
      }
      if (result->plan) {
        for (const std::string& warning : result->warnings) {
          spdlog::warn("{}", warning);
        }
        const std::size_t ended_overrides = overrides_.size();
        overrides_.clear();
        std::erase_if(deadlines_, [](const auto& deadline) { return deadline.first.second == Cause::drained; });
        apply(std::move(*result->plan));
        set_log_level(plan_.config->log_level);
        spdlog::info("reloaded config={} generation={} listeners={} overrides_ended={}", options_.config_file,
                     plan_.snapshot->generation, plan_.listeners.size(), ended_overrides);
      } else {
        spdlog::error("reload refused, the running configuration is unchanged: {}", result->refusal);
      }
      for (const Reply& waiting : served) {
        if (waiting) {
          waiting(answer_of(*result, plan_.snapshot->generation));
        }
      }
      if (shutdown_deadline_) {
        refuse_waiting_reloads();
      } else if (!waiting_reloads_.empty()) {
        Reply next = std::move(waiting_reloads_.back());
        waiting_reloads_.pop_back();
        reload(std::move(next));
      }
    });
  });
}

void Runtime::refuse_waiting_reloads() {
  for (const Reply& waiting : std::exchange(waiting_reloads_, {})) {
    if (waiting) {
      waiting(refusal(stopping));
    }
  }
}

// Puts a plan in force. Servers keep the health they have; new ones begin with what is known about them, and the
// workers must never see them as up before that. Connections of those that are gone or down are dealt with.
void Runtime::apply(Plan plan) {
  dataplane_->commit(builder_.listeners_end(), builder_.backends_end());
  if (access_log_ != nullptr) {
    access_log_->apply(plan);
  }
  checker_->set_targets(plan.targets);
  std::unordered_map<std::uint32_t, BackendPlace> places;
  std::vector<BackendPlace> failed;  // down from now on
  for (std::size_t listener = 0; listener < plan.listeners.size(); ++listener) {
    const ListenerPlan& planned = plan.listeners[listener];
    const auto& built = plan.snapshot->listeners[planned.id.value];
    const service::Listener* old = plan_.snapshot ? plan_.snapshot->find(planned.id) : nullptr;
    traffic_.open(*dataplane_, planned.id, planned.key);
    refusals_.open(*dataplane_, planned.id, planned.key);
    if (built->http != nullptr) {
      request_book_.open(*dataplane_, planned.id, planned.key);
    }
    if (old != nullptr && old->access != built->access) {
      changed_doors_[planned.id] = built->access;
    }
    const bool new_state = old == nullptr || old->state != built->state;
    const bool silenced = !shutdown_deadline_ && old != nullptr && old->running && !built->running &&
                          built->key.protocol == service::Protocol::udp;  // as ends_at_once()
    for (std::size_t server = 0; server < planned.backends.size(); ++server) {
      const BackendPlan& backend = planned.backends[server];
      places.emplace(backend.id.value, BackendPlace{listener, server});
      cancel_deadline(backend.id, Cause::removed);
      traffic_.open(*dataplane_, backend.id, {planned.key, backend.key.address, backend.port});
      if (built->http != nullptr) {
        request_book_.open(*dataplane_, backend.id, {planned.key, backend.key.address, backend.port});
      }
      if (silenced) {
        to_reset_.push_back(backend.id);
      }
      const bool up = !backend.checked || checker_->is_up({backend.id.value});  // what nobody checks is not down
      if (!new_state) {
        built->state->states[server].sessions_over.store(false, std::memory_order_relaxed);  // drains have ended
        if (take_as(*built->state, server, up)) {
          failed.push_back({listener, server});
        }
        continue;
      }
      service::ServerState& state = built->state->states[server];
      state.up.store(up, std::memory_order_relaxed);
      bool was_up = true;
      if (const auto before = places_.find(backend.id.value); before != places_.end() && old != nullptr) {
        const service::ServerState& past = old->state->states[before->second.server];
        was_up = past.up.load(std::memory_order_relaxed);
        state.recovered_at.store(past.recovered_at.load(std::memory_order_relaxed), std::memory_order_relaxed);
      }
      if (was_up && !up) {
        failed.push_back({listener, server});
      }
    }
  }
  const Plan old = std::exchange(plan_, std::move(plan));
  std::unordered_map<std::uint32_t, BackendPlace> old_places = std::exchange(places_, std::move(places));
  dataplane_->publish(plan_.snapshot);
  warn_of_memberships();
  keep_new_bandwidths(old);
  for (const BackendPlace& place : failed) {
    log_health(place);
    on_failed(place);
  }
  for (const auto& [backend, place] : old_places) {
    if (places_.contains(backend)) {
      continue;
    }
    const ListenerPlan& listener = old.listeners[place.listener];
    const config::Listener& settings = old.config->load_balancers[listener.balancer].listeners[listener.listener];
    if (ends_at_once(settings.on_removed, settings)) {
      to_reset_.push_back({backend});
    } else if (const auto drain = drain_of(settings)) {
      set_deadline({backend}, Cause::removed, *drain);
    }
  }
}

// Connections that ran before their listener had a limit keep it from now on.
void Runtime::keep_new_bandwidths(const Plan& old) {
  const bool any = std::ranges::any_of(plan_.snapshot->listeners, [&old](const auto& listener) {
    const service::Listener* before = listener && old.snapshot ? old.snapshot->find(listener->id) : nullptr;
    // One that was not there may have been earlier, and its connections go on.
    return listener && listener->bandwidth != 0 && (before == nullptr || before->bandwidth == 0);
  });
  if (any) {
    flow_jobs_->start(worker::FlowCommand::Action::keep_bandwidth, {}, 0, [](const FlowJobs::Flows&) {});
  }
}

void Runtime::on_health_change(healthcheck::TargetId target, const healthcheck::TargetStatus& status) {
  const auto found = places_.find(static_cast<std::uint32_t>(target.value));
  if (found == places_.end()) {
    return;
  }
  const ListenerPlan& listener = plan_.listeners[found->second.listener];
  const BackendPlan& backend = listener.backends[found->second.server];
  service::ListenerState& state = *plan_.snapshot->listeners[listener.id.value]->state;
  const bool up = status.status == healthcheck::Status::up;
  state.states[found->second.server].recovered_at.store(up ? dataplane_->clock().now_ns() : 0,
                                                        std::memory_order_relaxed);
  state.states[found->second.server].up.store(up, std::memory_order_relaxed);
  state.epoch.fetch_add(1, std::memory_order_release);
  log_health(found->second);
  if (up) {
    cancel_deadline(backend.id, Cause::unhealthy);
  } else {
    on_failed(found->second);
  }
}

void Runtime::log_health(const BackendPlace& place) const {
  const ListenerPlan& listener = plan_.listeners[place.listener];
  const BackendPlan& backend = listener.backends[place.server];
  const auto status = health(backend.id);
  if (!status) {
    return;
  }
  const bool up = status->status == healthcheck::Status::up;
  const config::LoadBalancer& balancer = plan_.config->load_balancers[listener.balancer];
  const config::Listener& settings = balancer.listeners[listener.listener];
  const std::string reason = status->last ? status->last->reason : std::string("no result yet");
  spdlog::log(up ? spdlog::level::info : spdlog::level::warn,
              "health load_balancer={} listener={}:{}{} server={}:{} state={} check=\"{}\" last=\"{}\"", balancer.name,
              config::protocol_name(settings), settings.port, listener.rule.empty() ? "" : " rule=" + listener.rule,
              backend.key.address.to_string(), backend.port, up ? "up" : "down", status->check, reason);
}

// Connections of a server that is down now.
void Runtime::on_failed(const BackendPlace& place) {
  const ListenerPlan& listener = plan_.listeners[place.listener];
  const service::BackendId backend = listener.backends[place.server].id;
  const config::Listener& settings = plan_.config->load_balancers[listener.balancer].listeners[listener.listener];
  if (ends_at_once(settings.on_unhealthy, settings)) {
    to_reset_.push_back(backend);
  } else if (const auto drain = drain_of(settings)) {
    set_deadline(backend, Cause::unhealthy, *drain);
  }
}

// One deadline a server and cause; a new one replaces the old one.
void Runtime::set_deadline(service::BackendId backend, Cause cause, std::chrono::seconds after) {
  deadlines_[{backend.value, cause}] = steady_clock::now() + after;
}

bool Runtime::has_deadline(service::BackendId backend) const {
  const auto first = deadlines_.lower_bound({backend.value, Cause{}});
  return first != deadlines_.end() && first->first.first == backend.value;
}

// A server that was removed and came back, or is not checked any more, or whose listener drains no more, is not the
// one that failed.
bool Runtime::still_holds(const DeadlineKey& deadline) const {
  const auto& [backend, cause] = deadline;
  if (cause != Cause::unhealthy) {
    return true;
  }
  const auto place = places_.find(backend);
  if (place == places_.end()) {
    return false;
  }
  const ListenerPlan& listener = plan_.listeners[place->second.listener];
  const config::Listener& settings = plan_.config->load_balancers[listener.balancer].listeners[listener.listener];
  return listener.backends[place->second.server].checked && !checker_->is_up({backend}) &&
         drain_of(settings).has_value();
}

// Whether holders of a drained server's session cookies are scheduled anew (http listeners).
void Runtime::set_sessions_over(service::BackendId backend, bool over) {
  const auto place = places_.find(backend.value);
  if (place != places_.end()) {
    const service::ListenerId listener = plan_.listeners[place->second.listener].id;
    service::ListenerState& state = *plan_.snapshot->listeners[listener.value]->state;
    state.states[place->second.server].sessions_over.store(over, std::memory_order_release);
  }
}

void Runtime::check_deadlines() {
  const auto now = steady_clock::now();
  std::erase_if(deadlines_, [&](const auto& deadline) {
    if (now < deadline.second) {
      return false;
    }
    const auto& [backend, cause] = deadline.first;
    if (still_holds(deadline.first)) {
      if (cause == Cause::drained) {
        set_sessions_over({backend}, true);
      }
      to_reset_.push_back({backend});
    }
    return true;
  });
}

// An exchange of UDP datagrams has no end to wait for: when the primary can serve again, those that the secondary has
// taken over end, and their next datagrams go to the primary. Connections run on to their end.
void Runtime::stand_secondaries_down() {
  for (const ListenerPlan& listener : plan_.listeners) {
    if (!listener.primary_secondary) {
      continue;
    }
    const service::Listener& built = *plan_.snapshot->listeners[listener.id.value];
    const bool primary_serves =
        built.servers[0].weight > 0 && built.state->states[0].up.load(std::memory_order_relaxed);
    const service::BackendId secondary = built.servers[1].id;
    if (built.key.protocol == service::Protocol::udp && primary_serves && dataplane_->active(secondary) != 0) {
      to_reset_.push_back(secondary);
    }
  }
}

// Each walk over the flow tables takes along everybody who has come to `to_reset_` since the one before.
void Runtime::start_resets() {
  if (to_reset_.empty() || resetting_) {
    return;
  }
  resetting_ = true;
  l4::FlowFilter filter;
  filter.include_lingering = false;
  filter.backends = std::exchange(to_reset_, {});
  std::ranges::sort(*filter.backends);
  flow_jobs_->start(worker::FlowCommand::Action::reset, filter, 0, [this](const FlowJobs::Flows& results) {
    resetting_ = false;
    spdlog::info("connections reset count={} requests_ended={}", FlowJobs::matches(results),
                 FlowJobs::requests(results));
  });
}

// Ends what clients have open that a changed access list lets in no more: who has just been blacklisted is not to go on
// until he pleases. The new lists are published already, so that nothing opens behind the walk's back.
void Runtime::end_shut_out() {
  if (changed_doors_.empty() || ending_shut_out_) {
    return;
  }
  ending_shut_out_ = true;
  l4::FlowFilter filter;
  filter.shut_out.emplace();
  for (const auto& [listener, access] : std::exchange(changed_doors_, {})) {
    if (access != nullptr) {
      filter.shut_out->push_back({listener, access});
    }
  }
  flow_jobs_->start(worker::FlowCommand::Action::reset, filter, 0, [this](const FlowJobs::Flows& results) {
    ending_shut_out_ = false;
    spdlog::info("connections of clients that access lists let in no more ended count={}", FlowJobs::matches(results));
  });
}

}  // namespace steelyard::control

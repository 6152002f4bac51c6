// Requests from the admin socket.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json/object.hpp>

#include "control/runtime/report.h"
#include "control/runtime/request_fields.h"
#include "control/runtime/runtime.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;

std::string_view state_name(l4::FlowState state) {
  switch (state) {
    case l4::FlowState::free:
      break;
    case l4::FlowState::udp:
      return "udp";
    case l4::FlowState::syn_sent:
      return "syn_sent";
    case l4::FlowState::syn_received:
      return "syn_received";
    case l4::FlowState::header_sent:
      return "header_sent";
    case l4::FlowState::option_sent:
      return "option_sent";
    case l4::FlowState::established:
      return "established";
    case l4::FlowState::half_closed:
      return "half_closed";
    case l4::FlowState::closing:
      return "closing";
    case l4::FlowState::lingering:
      return "lingering";
    case l4::FlowState::client_closed:
      return "client_closed";
    case l4::FlowState::adopted_from_client:
    case l4::FlowState::adopted_from_server:
      return "adopted";
  }
  return "free";
}

// What an override came to; an earlier one of the weight stays.
json::object in_force(const BackendPlan& server, std::uint64_t generation) {
  return {{"generation", generation},
          {"admin", report::admin_name(server.admin)},
          {"weight", server.weight},
          {"configured_weight", server.configured_weight},
          {"override", server.overridden}};
}

}  // namespace

void Runtime::handle(json::object request, const AdminServer::Reply& reply) {
  const std::string command = text_of(request, "command");
  if (command == "status") {
    reply(ok(report::status(*this)));
  } else if (command == "stats") {
    reply(ok(report::stats(*this)));
  } else if (command == "reload") {
    reload(reply);
  } else if (command == "server") {
    handle_server(request, reply);
  } else if (command == "flows") {
    handle_flows(request, reply);
  } else if (command == "conns") {
    handle_connections(request, reply);
  } else if (command == "trace") {
    handle_trace(request, reply);
  } else if (command == "capture") {
    handle_capture(request, reply);
  } else {
    reply(refused("unknown command '" + command +
                  "'; known are status, stats, reload, server, flows, conns, trace, capture"));
  }
}

void Runtime::handle_server(const json::object& request, const Reply& reply) {
  const std::string action = text_of(request, "action");
  const std::string group = text_of(request, "group");
  const std::string name = text_of(request, "server");
  const auto value = number_of(request, "value");
  if (building_) {
    return reply(refused("a reload is under way, which ends overrides; try again when it is done"));
  }
  const auto endpoint = parse_endpoint(name);
  const BackendPlan* found = nullptr;
  bool group_known = false;
  for (const ListenerPlan& listener : plan_.listeners) {
    if (listener.group != group) {
      continue;
    }
    group_known = true;
    for (const BackendPlan& backend : listener.backends) {
      const bool named = !backend.name.empty() && backend.name == name;
      const bool addressed = endpoint && backend.key.address == endpoint->address &&
                             (endpoint->port == backend.port || endpoint->port == 0);
      if (!named && !addressed) {
        continue;
      }
      if (found != nullptr && found->key != backend.key) {
        return reply(refused("'" + name + "' in group '" + group +
                             "' is more than one server: " + endpoint_text(found->key.address, found->port) + " and " +
                             endpoint_text(backend.key.address, backend.port) + "; give address and port"));
      }
      found = &backend;
    }
  }
  if (found == nullptr) {
    return reply(refused(group_known
                             ? "no server '" + name + "' in group '" + group + "'; `steelyard status` lists them"
                             : "no listener uses a server group '" + group +
                                   "'; a default group goes by its load balancer's name"));
  }
  const ServerKey key = found->key;
  ServerOverride changed;
  if (const auto before = overrides_.find(key); before != overrides_.end()) {
    changed = before->second;
  }
  if (action == "enable") {
    changed.state = AdminState::enabled;
  } else if (action == "disable") {
    changed.state = AdminState::disabled;
  } else if (action == "weight") {
    if (!value || *value < 0 || *value > 100) {
      return reply(refused("a weight is 0 to 100"));
    }
    changed.weight = static_cast<std::uint8_t>(*value);
  } else if (action == "drain") {
    if (value && (*value < 0 || *value > 3600)) {
      return reply(refused("a drain deadline is 0 to 3600 seconds"));
    }
    changed.state = AdminState::draining;
  } else {
    return reply(refused("unknown action '" + action + "'; allowed are enable, disable, weight, drain"));
  }
  if (changed.state == AdminState::enabled && !changed.weight) {
    overrides_.erase(key);
  } else {
    overrides_[key] = changed;
  }
  builder_.override_group(plan_, overrides_, group);
  dataplane_->publish(plan_.snapshot);
  for (const ListenerPlan& listener : plan_.listeners) {
    const config::Listener& settings = plan_.config->load_balancers[listener.balancer].listeners[listener.listener];
    for (const BackendPlan& backend : listener.backends) {
      if (backend.key != key || action == "weight") {
        continue;
      }
      cancel_deadline(backend.id, Cause::drained);
      set_sessions_over(backend.id, false);
      const auto drain = value ? std::optional(std::chrono::seconds(*value)) : drain_of(settings);
      if (action == "drain" && drain) {
        set_deadline(backend.id, Cause::drained, *drain);
      }
    }
  }
  // `found` stands in the plan, which the override has brought up to date.
  spdlog::info("override group={} server={} action={} state={} weight={} configured_weight={} generation={}", group,
               name, action, report::admin_name(found->admin), found->weight, found->configured_weight,
               plan_.snapshot->generation);
  reply(ok(in_force(*found, plan_.snapshot->generation)));
}

void Runtime::handle_flows(const json::object& request, const Reply& reply) {
  const std::string action = text_of(request, "action");
  auto filter = filter_of<l4::FlowFilter>(request);
  const auto named = named_listener(plan_, request);
  if (!filter || !named) {
    return reply(refused(filter ? named.error() : filter.error()));
  }
  if (*named != nullptr) {
    filter->listener = (*named)->id;
  }
  using Action = worker::FlowCommand::Action;
  if (action == "list") {
    const std::size_t limit = limit_of(request);
    flow_jobs_->start(Action::list, *filter, limit, [this, reply, limit](const FlowJobs::Flows& results) {
      json::array flows;
      bool truncated = false;
      for (std::size_t worker = 0; worker < results.size(); ++worker) {
        for (const l4::FlowRecord& flow : results[worker]->records()) {
          if (flows.size() == limit) {
            truncated = true;
            break;
          }
          const service::Listener* listener = plan_.snapshot->find(flow.listener);
          const bool udp = flow.state == l4::FlowState::udp;
          flows.push_back(json::object{{"listener", listener != nullptr ? endpoint_text(flow.vip, flow.vip_port) : ""},
                                       {"protocol", udp ? "udp" : "tcp"},
                                       {"client", endpoint_text(flow.client, flow.client_port)},
                                       {"vip", endpoint_text(flow.vip, flow.vip_port)},
                                       {"local", endpoint_text(flow.local, flow.local_port)},
                                       {"server", endpoint_text(flow.server, flow.server_port)},
                                       {"state", state_name(flow.state)},
                                       {"mode", config::to_string(flow.mode)},
                                       {"idle_s", flow.idle_seconds},
                                       {"worker", worker}});
        }
        truncated = truncated || results[worker]->records().size() == limit;
      }
      reply(ok(json::object{{"flows", std::move(flows)}, {"truncated", truncated}}));
    });
    return;
  }
  if (action != "count" && action != "clear") {
    return reply(refused("unknown action '" + action + "'; allowed are list, count, clear"));
  }
  const bool clear = action == "clear";
  flow_jobs_->start(clear ? Action::reset : Action::count, *filter, 0, [reply, clear](const FlowJobs::Flows& results) {
    json::object found{{clear ? "cleared" : "count", FlowJobs::matches(results)}};
    if (clear) {
      found["requests"] = FlowJobs::requests(results);
    }
    reply(ok(std::move(found)));
  });
}

}  // namespace steelyard::control

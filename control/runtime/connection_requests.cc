// Requests from the admin socket about TCP connections that end in the workers.
#include <boost/json/array.hpp>

#include "control/runtime/connection_report.h"
#include "control/runtime/request_fields.h"
#include "control/runtime/runtime.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;

// At most `limit` of what the workers have found, and whether there is more.
json::object listed(const FlowJobs::Connections& results, std::size_t limit) {
  json::array connections;
  bool truncated = false;
  for (std::size_t worker = 0; worker < results.size(); ++worker) {
    for (const worker::ConnectionRecord& record : results[worker]->records()) {
      if (connections.size() == limit) {
        truncated = true;
        break;
      }
      connections.push_back(connection_json(record, worker));
    }
    truncated = truncated || results[worker]->records().size() == limit;
  }
  return {{"connections", std::move(connections)}, {"truncated", truncated}};
}

}  // namespace

void Runtime::handle_connections(const json::object& request, const Reply& reply) {
  const std::string action = text_of(request, "action");
  auto filter = filter_of<worker::ConnectionFilter>(request);
  const auto named = named_listener(plan_, request);
  if (!filter || !named) {
    return reply(refused(filter ? named.error() : filter.error()));
  }
  if (*named != nullptr) {
    filter->listener = (*named)->key.vip;
  }
  using Action = worker::ConnectionCommand::Action;
  if (action == "list") {
    const std::size_t limit = limit_of(request);
    flow_jobs_->start(Action::list, *filter, limit,
                      [reply, limit](const FlowJobs::Connections& results) { reply(ok(listed(results, limit))); });
    return;
  }
  if (action != "count" && action != "clear") {
    return reply(refused("unknown action '" + action + "'; allowed are list, count, clear"));
  }
  const bool clear = action == "clear";
  flow_jobs_->start(clear ? Action::clear : Action::count, *filter, 0,
                    [reply, clear](const FlowJobs::Connections& results) {
                      reply(ok(json::object{{clear ? "cleared" : "count", FlowJobs::matches(results)}}));
                    });
}

}  // namespace steelyard::control

#include "control/runtime/rules_report.h"

#include <boost/json/array.hpp>

namespace steelyard::control::report {

namespace json = boost::json;

json::object rules_of(const config::Listener& settings) {
  json::object rules;
  if (settings.access_control) {
    json::array lists;
    for (const config::ListenerAccess::Name& list : settings.access_control->lists) {
      lists.emplace_back(list.name);
    }
    rules["access_control"] =
        json::object{{"type", config::to_string(settings.access_control->type)}, {"lists", std::move(lists)}};
  }
  if (settings.max_connection_rate != 0) {
    rules["max_connection_rate"] = settings.max_connection_rate;
  }
  if (settings.per_source) {
    rules["per_source"] = json::object{{"max_connections", settings.per_source->max_connections},
                                       {"max_connection_rate", settings.per_source->max_connection_rate},
                                       {"max_request_rate", settings.per_source->max_request_rate},
                                       {"ipv6_prefix", settings.per_source->ipv6_prefix}};
  }
  return rules;
}

json::object refused(const Refusals& refusals) {
  json::object object;
  for (std::size_t reason = 0; reason < refusals.size(); ++reason) {
    object[refusal_reasons[reason].name] = refusals[reason];
  }
  return object;
}

void add_refused(PrometheusText& text, const PrometheusText::Labels& labels, const Refusals& refusals) {
  for (std::size_t reason = 0; reason < refusals.size(); ++reason) {
    PrometheusText::Labels all = labels;
    all.emplace_back("reason", refusal_reasons[reason].name);
    text.counter("steelyard_listener_refused_total",
                 "Packets and requests that a listener's own rules refused, by reason.")
        .add(all, refusals[reason]);
  }
}

}  // namespace steelyard::control::report

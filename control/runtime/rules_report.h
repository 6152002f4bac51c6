// A listener's own rules about who may come in, and what they have refused, as status, stats and metrics show it.
#pragma once

#include <boost/json/object.hpp>

#include "control/config/model.h"
#include "control/metrics/prometheus_text.h"
#include "control/runtime/refusals.h"

namespace steelyard::control::report {

// Only the rules that there are.
[[nodiscard]] boost::json::object rules_of(const config::Listener& settings);
// Every reason, also those that never came up.
[[nodiscard]] boost::json::object refused(const Refusals& refusals);
// `labels` name the listener.
void add_refused(PrometheusText& text, const PrometheusText::Labels& labels, const Refusals& refusals);

}  // namespace steelyard::control::report

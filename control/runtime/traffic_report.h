// What servers and listeners have carried, and what their limits did to it, for `steelyard stats` and the metrics.
#pragma once

#include <boost/json/object.hpp>

#include "control/metrics/prometheus_text.h"
#include "control/runtime/traffic.h"

namespace steelyard::control::report {

void put_into(boost::json::object& object, const Traffic& traffic);
// `bandwidth` in Mbit/s, 0: no limit.
void put_into(boost::json::object& object, const Excess& excess, std::uint32_t bandwidth);

// `max_connections`: 0: no limit.
void add_server(PrometheusText& text, const PrometheusText::Labels& labels, const Traffic& traffic,
                std::uint32_t max_connections);
// Traffic is billed by listener: what all servers that it ever had have sent.
void add_listener(PrometheusText& text, const PrometheusText::Labels& labels, const Traffic& traffic,
                  const Excess& excess, std::uint32_t bandwidth);

}  // namespace steelyard::control::report

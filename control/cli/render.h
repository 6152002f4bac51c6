// Results of the process as text for people. Pure functions of the JSON.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>

namespace steelyard::control::cli {

// The result of `request`, whatever its command.
[[nodiscard]] std::string render(const boost::json::object& request, const boost::json::value& result);

[[nodiscard]] std::string render_status(const boost::json::object& status);
// With `rates` (rates_between) each counter's growth in a second stands beside it.
[[nodiscard]] std::string render_stats(const boost::json::object& stats, const boost::json::object& rates = {});
[[nodiscard]] std::string render_flows(const boost::json::object& result);
[[nodiscard]] std::string render_connections(const boost::json::object& result);

// A line of a trace: a packet, or how many are lost. "worker 1*": another worker has handed it over.
[[nodiscard]] std::string render_trace_line(const boost::json::object& line);

// JSON with two spaces of indentation and a newline at the end.
[[nodiscard]] std::string pretty(const boost::json::value& value);

}  // namespace steelyard::control::cli

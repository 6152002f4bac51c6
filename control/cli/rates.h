// What counters grew by in a second, from two answers to `stats`. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <optional>

namespace steelyard::control::cli {

// `now` with each counter replaced by its growth in a second since `before`, and "interval_s". Lists and objects stand
// where they stand in `now`; what names them stays, gauges and what `before` does not have are left out. Nothing when
// the two are of different processes, or of the same moment.
[[nodiscard]] std::optional<boost::json::object> rates_between(const boost::json::object& before,
                                                               const boost::json::object& now);

// Are both of one process? Its counters begin anew with the next.
[[nodiscard]] bool same_process(const boost::json::object& before, const boost::json::object& now);

}  // namespace steelyard::control::cli

// What `steelyard conns list` says of a connection. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <cstddef>

#include "dataplane/worker/command.h"

namespace steelyard::control {

[[nodiscard]] boost::json::object connection_json(const worker::ConnectionRecord& record, std::size_t worker);

}  // namespace steelyard::control

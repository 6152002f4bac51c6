// What has to be done inside a named network namespace (`ip netns add`): devices, sockets and /proc/sys/net all follow
// the thread that opens them, and stay where they were opened.
#pragma once

#include <functional>
#include <string>

#include "dataplane/nic/error.h"

namespace steelyard::nic {

// Runs `body` in the namespace `name` under `folder`; an empty name is the process's own. Waits for it. Any thread.
[[nodiscard]] Result<void> in_network_namespace(const std::string& folder, const std::string& name,
                                                const std::function<Result<void>()>& body);

}  // namespace steelyard::nic

// Cache-Control (RFC 9111 section 5.2) of an answer that gets a session cookie: it is one client's alone, and no shared
// cache may give it to another one. Pure.
#pragma once

#include <string_view>

#include "dataplane/http/writer.h"

namespace steelyard::http {

// Does a field's value keep shared caches away already? `private="Age"`, which is about single fields, does not.
[[nodiscard]] bool is_private(std::string_view cache_control);

// ", directive" for each of those that may stay beside "private".
void write_private_directives(HeadWriter& writer, std::string_view cache_control);

}  // namespace steelyard::http

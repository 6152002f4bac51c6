// The key that session cookies are made with: of a file that all nodes share, or one of our own that outlives the
// process, so that a restart keeps clients on their servers. Its octets appear in no message. Blocks on the disk, at
// the start.
#pragma once

#include <string>

#include "dataplane/worker/server_tags.h"

namespace steelyard::control {

struct LoadedCookieKey {
  http::CookieKey key;
  std::string warning;  // a sentence for the administrator; may be empty
};

// The first 32 octets of a file. Throws std::runtime_error, with a sentence, when it cannot be read, is shorter, or
// everybody may read or write it.
[[nodiscard]] LoadedCookieKey read_cookie_key(const std::string& path);

// The key in `folder`/cookie.key, which is made (mode 0600) when it is not there. Where it cannot be made: one for the
// life of this process, and a warning. Throws as read_cookie_key() does when there is one that is no good: another one
// in its place would turn every client's cookie into none.
[[nodiscard]] LoadedCookieKey keep_cookie_key(const std::string& folder);

}  // namespace steelyard::control

// What names the servers of an http target in session cookies. What control must know to build a snapshot.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/http/cookie.h"
#include "dataplane/service/server_tags.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::worker {

// Any thread.
[[nodiscard]] inline std::shared_ptr<const service::ServerTags> build_server_tags(
    const http::CookieKey& key, std::span<const service::Server> servers) {
  const http::SessionCookies cookies(key);
  std::vector<std::uint64_t> tags;
  tags.reserve(servers.size());
  for (const service::Server& server : servers) {
    tags.push_back(cookies.tag_of(server).value);
  }
  return std::make_shared<const service::ServerTags>(tags);
}

}  // namespace steelyard::worker

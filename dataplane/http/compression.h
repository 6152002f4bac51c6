// An answer whose body is gzipped on its way (compression.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/http/ground.h"
#include "dataplane/http/link.h"

namespace steelyard::http {

struct Compression {
  ExchangeIndex exchange = nobody;
  std::optional<Ground::Room> room;   // in which the next chunk grows
  std::size_t filled = 0;             // octets of it
  std::uint32_t owed = 0;             // octets that the server's queue begins with: content, not compressed yet
  tcp::Time held_since = tcp::never;  // when the first octet came of what the client cannot decode yet
  bool ended = false;                 // the last chunk is sent
};

}  // namespace steelyard::http

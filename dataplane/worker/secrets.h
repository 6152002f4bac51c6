// Secrets, drawn at start. Control thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include "dataplane/packet/hash.h"

namespace steelyard::worker {

void fill_randomly(std::span<std::byte> bytes);

template <class Value>
void fill_randomly(Value& value) {
  static_assert(std::is_trivially_copyable_v<Value>);
  fill_randomly(std::as_writable_bytes(std::span{&value, 1}));
}

// A secret that outlives the process but not the machine's run: read from `path`, made there (0600) when it is not yet.
// Where neither works, a fresh one: only connections that follow a restart at once can then meet an old TIME_WAIT.
[[nodiscard]] packet::HashKey lasting_secret(const std::string& path);

}  // namespace steelyard::worker

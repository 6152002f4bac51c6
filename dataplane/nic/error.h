// What this room returns when something does not work: one sentence for the person who starts the program, with the
// device or interface by name, what was tried, and what to do about it. All of this happens at start, on the control
// side; nothing on the packet path makes one.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace steelyard::nic {

struct Error {
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> failure(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace steelyard::nic

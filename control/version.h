// The program's version; the build checks that it is the project's.
#pragma once

#include <string_view>

namespace steelyard::control {

inline constexpr std::string_view version = "0.1.0";

}  // namespace steelyard::control

// Matches an answer of the proxy's own, by its status and its cause.
#pragma once

#include <gmock/gmock.h>

#include <string>
#include <string_view>

namespace steelyard::http {

inline auto says(int status, std::string_view cause) {
  return testing::AllOf(testing::StartsWith("HTTP/1.1 " + std::to_string(status) + " "),
                        testing::HasSubstr("Steelyard: " + std::string(cause)));
}

}  // namespace steelyard::http

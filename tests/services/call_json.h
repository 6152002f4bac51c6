// Calls and answers as JSON, a line each (tests/README.md). Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>
#include <tl/expected.hpp>

#include "tests/services/call.h"

namespace steelyard::test {

// Reads a call. `id` is what the line says, null if that cannot be read; an error is a sentence.
[[nodiscard]] tl::expected<std::unique_ptr<Call>, std::string> read_call(std::string_view line, boost::json::value& id);

// The answer, without the end of the line.
[[nodiscard]] std::string write_answer(const Call& call, const boost::json::value& id);
[[nodiscard]] std::string write_refusal(const std::string& why, const boost::json::value& id);

}  // namespace steelyard::test

#include "control/admin/request_line.h"

#include <algorithm>
#include <boost/json/parse.hpp>

namespace steelyard::control {

tl::expected<std::optional<std::string>, LineReader::TooLong> LineReader::next() {
  const std::size_t newline = buffer_.find('\n', searched_);
  if (std::min(newline, buffer_.size()) > longest_) {
    return tl::unexpected(TooLong{});
  }
  if (newline == std::string::npos) {
    searched_ = buffer_.size();
    return std::nullopt;
  }
  std::string line = buffer_.substr(0, newline);
  buffer_.erase(0, newline + 1);
  searched_ = 0;
  if (line.ends_with('\r')) {
    line.pop_back();
  }
  return line;
}

tl::expected<boost::json::object, std::string> parse_request(std::string_view line) {
  boost::json::parse_options options;
  options.max_depth = 4;  // requests are flat
  boost::json::error_code error;
  boost::json::value value = boost::json::parse({line.data(), line.size()}, error, {}, options);
  if (error) {
    return tl::unexpected("the request is not JSON: " + error.message() +
                          R"(; a request is one line such as {"command":"status"})");
  }
  if (!value.is_object()) {
    return tl::unexpected(std::string(R"(the request is not a JSON object; one is {"command":"status"})"));
  }
  return std::move(value).as_object();
}

boost::json::value refusal(std::string_view message) {
  return boost::json::object{{"ok", false}, {"error", boost::json::string_view(message.data(), message.size())}};
}

}  // namespace steelyard::control

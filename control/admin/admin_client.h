// The other end of the admin socket: one request, one answer or a stream of lines, blocking. For command-line programs.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <tl/expected.hpp>

namespace steelyard::control {

struct AdminError {
  enum class Kind : std::uint8_t {
    unreachable,  // no process, no permission, no answer in time
    refused,      // the process says no
    interrupted,  // the caller wanted no answer any more
  };
  Kind kind = Kind::unreachable;
  std::string message;  // what happened and what to do; may have several lines
};

class AdminClient {
 public:
  // `interrupt`: a descriptor that ends a call when it is readable; -1: none.
  explicit AdminClient(std::string path, std::chrono::milliseconds timeout = std::chrono::seconds(30),
                       int interrupt = -1)
      : path_(std::move(path)), timeout_(timeout), interrupt_(interrupt) {}

  // The "result" of the answer. Opens a connection of its own; any thread.
  [[nodiscard]] tl::expected<boost::json::value, AdminError> call(const boost::json::object& request) const;

  // The same, and then the lines that follow: take(line) for each, until the stream has ended or take() returns false.
  // An interruption stops the stream, and what it says at its end is still taken; a second one is the caller's to heed.
  using Take = std::function<bool(const boost::json::object& line)>;
  [[nodiscard]] tl::expected<boost::json::value, AdminError> stream(const boost::json::object& request,
                                                                    const Take& take) const;

 private:
  std::string path_;
  std::chrono::milliseconds timeout_;
  int interrupt_;
};

}  // namespace steelyard::control

// Where lines of the access log go: a bounded buffer, and behind it an outlet - a file, standard output, syslog - that
// takes what it can without waiting. What finds no room, and what an outlet fails to take, is lost and counted: a disk
// that is full or a reader who stands still must cost lines, never time. Log thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>
#include <utility>

namespace steelyard::control::access_log {

class Outlet {
 public:
  virtual ~Outlet() = default;
  struct Taken {
    std::size_t octets = 0;  // from the front; 0: nothing goes without waiting
    std::size_t lost = 0;    // lines of these that nobody will see
  };
  // `lines` is not empty. Error: none of it can be taken, now or later.
  [[nodiscard]] virtual tl::expected<Taken, std::error_code> take(std::string_view lines) = 0;
  // Begins anew, with a new file of the same name. Error: it goes on with the old one.
  [[nodiscard]] virtual std::error_code reopen() = 0;
};

class Sink {
 public:
  static constexpr std::size_t usual_buffer = 1'048'576;  // some 3,000 lines

  explicit Sink(std::unique_ptr<Outlet> outlet, std::size_t most_buffered = usual_buffer)
      : outlet_(std::move(outlet)), most_buffered_(most_buffered) {}

  // `line` has its end.
  void add(std::string_view line);
  // Hands on what the outlet takes now.
  void flush();
  // A line of which a part is in the old file does not go on in the new one.
  void reopen();

  [[nodiscard]] bool empty() const { return sent_ == buffer_.size(); }
  // What the outlet has not taken is lost.
  void discard();
  // Lines, since the beginning.
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  // The outlet's last failure since the call before.
  [[nodiscard]] std::error_code take_error() { return std::exchange(error_, {}); }

 private:
  // False: nothing goes now.
  [[nodiscard]] bool hand_on();
  void lose_rest_of_line();

  std::unique_ptr<Outlet> outlet_;
  std::size_t most_buffered_;
  std::string buffer_;
  std::size_t sent_ = 0;  // octets of buffer_ that the outlet has
  bool in_line_ = false;  // the outlet's last octet is not a line's end
  bool torn_ = false;     // ... and that line's rest is lost
  std::uint64_t lost_ = 0;
  std::error_code error_;
};

}  // namespace steelyard::control::access_log

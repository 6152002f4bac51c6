// An answer without an end of its own: lines that come as long as the client wants them.
#pragma once

#include <boost/json/value.hpp>
#include <optional>

namespace steelyard::control {

// Lives on the io_context's thread; destroyed when its connection ends, however it does.
class AdminStream {
 public:
  AdminStream() = default;
  AdminStream(const AdminStream&) = delete;
  AdminStream& operator=(const AdminStream&) = delete;
  virtual ~AdminStream() = default;

  // The next line, when there is one; asked again a little later when not, and no sooner than the client has taken the
  // line before. Must not take longer than a millisecond or two.
  [[nodiscard]] virtual std::optional<boost::json::value> next() = 0;
  // No line will come any more.
  [[nodiscard]] virtual bool ended() const = 0;
  // The client wants no more; what is left may still be said.
  virtual void stop() = 0;
};

}  // namespace steelyard::control

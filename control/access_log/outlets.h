// The outlets of the access log. None of them waits: for pipes and terminals it is asked first whether they take
// something, sockets are told not to. A regular file always takes it, and is as fast as the page cache; a disk that
// stands still stops the log's own thread and nobody else.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "control/access_log/sink.h"
#include "control/admin/file_descriptor.h"

namespace steelyard::control::access_log {

// Appends to the file of that name, which is made (mode 0640) if it is not there, or why that cannot be. A named pipe
// has to have a reader.
[[nodiscard]] tl::expected<std::unique_ptr<Outlet>, std::error_code> open_file(const std::string& path);

// Standard output, or whatever else is open already and belongs to somebody else.
[[nodiscard]] std::unique_ptr<Outlet> make_stream(int descriptor);

// RFC 3164 section 4.1.1.
enum class Facility : std::uint8_t {
  user = 1,
  daemon = 3,
  local0 = 16,
  local1,
  local2,
  local3,
  local4,
  local5,
  local6,
  local7,
};

struct SyslogSetup {
  std::string path = "/dev/log";
  Facility facility = Facility::local0;
  std::string tag = "steelyard";
  // What stands in front of lines, in local time as syslog(3) has it.
  std::function<std::chrono::system_clock::time_point()> now = [] { return std::chrono::system_clock::now(); };
};
// A line is a datagram in RFC 3164's format without a host name, as syslog(3) writes it. The socket need not be there
// yet; it is looked for again whenever it is gone.
[[nodiscard]] std::unique_ptr<Outlet> make_syslog(SyslogSetup setup);

}  // namespace steelyard::control::access_log

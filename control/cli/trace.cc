#include "control/cli/trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cerrno>
#include <ostream>
#include <system_error>

#include "control/admin/base64.h"
#include "control/admin/file_descriptor.h"
#include "control/cli/fields.h"
#include "control/cli/render.h"
#include "control/cli/session.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

// The file of a capture, made with its first bytes.
class Output {
 public:
  explicit Output(std::string path) : path_(std::move(path)) {}

  // False, and why() says it: the bytes could not be written.
  [[nodiscard]] bool write(std::string_view bytes) {
    if (!file_.valid()) {
      file_ = FileDescriptor(path_ == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                                          : ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    }
    while (file_.valid() && !bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) {
        break;
      }
      bytes.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
    error_ = bytes.empty() ? 0 : errno;
    return bytes.empty();
  }
  [[nodiscard]] std::string why() const { return path_ + ": " + std::generic_category().message(error_); }
  // Whoever reads a pipe has seen enough.
  [[nodiscard]] bool reader_has_gone() const { return error_ == EPIPE; }
  [[nodiscard]] bool failed() const { return error_ != 0; }

 private:
  std::string path_;
  FileDescriptor file_;
  int error_ = 0;
};

std::string lost_words(std::uint64_t lost) {
  return lost == 0 ? std::string() : ", " + std::to_string(lost) + " lost because there were too many";
}

}  // namespace

int run_trace(const TraceCommand& command, const Environment& environment) {
  Session session;
  const AdminClient client(command.socket_path, std::chrono::seconds(30), session.ending());
  const auto result = client.stream(command.request, [&](const json::object& line) {
    if (command.json) {
      environment.out << json::serialize(line) << '\n';
    } else if (has(line, "end")) {
      const json::object& end = member(line, "end");
      environment.err << counted(number(end, "events"), "packet", "packets") << lost_words(number(end, "lost")) << '\n';
    } else {
      environment.out << render_trace_line(line);
    }
    environment.out.flush();
    return static_cast<bool>(environment.out);
  });
  if (!environment.out) {
    environment.out.clear();  // who closes a pipe has seen enough
    return exit_done;
  }
  if (!result && result.error().kind != AdminError::Kind::interrupted) {
    return print_error(result.error(), command.json, environment);
  }
  return exit_done;
}

int run_capture(const CaptureCommand& command, const Environment& environment) {
  Session session;
  Output file(command.file);
  const AdminClient client(command.socket_path, std::chrono::seconds(30), session.ending());
  const auto result = client.stream(command.request, [&](const json::object& line) {
    if (has(line, "end")) {
      const json::object& end = member(line, "end");
      environment.err << counted(number(end, "packets"), "packet", "packets") << " in " << command.file
                      << lost_words(number(end, "lost")) << '\n';
      return true;
    }
    const auto bytes = from_base64(text(line, "pcapng"));
    return bytes && file.write(*bytes);
  });
  if (file.failed() && !file.reader_has_gone()) {
    return print_error(AdminError{AdminError::Kind::refused, file.why()}, false, environment);
  }
  if (!result && result.error().kind != AdminError::Kind::interrupted) {
    return print_error(result.error(), false, environment);
  }
  return exit_done;
}

}  // namespace steelyard::control::cli

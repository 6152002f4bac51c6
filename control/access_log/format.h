// How a request that is over becomes a line: JSON, or what a template says with the variables that nginx and HAProxy
// have for the same things (variables.cc has the list). All that a client can choose is escaped (line_text.h).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "dataplane/worker/access_ring.h"

namespace steelyard::control::access_log {

// Names of what a record knows by numbers. Empty: it has none, or has it no longer. Views are valid until the next
// call.
class RecordNames {
 public:
  virtual ~RecordNames() = default;
  [[nodiscard]] virtual std::string_view listener(service::ListenerId id) const = 0;
  // The server group that the request was for.
  [[nodiscard]] virtual std::string_view target(service::ListenerId id) const = 0;
  // Address and port.
  [[nodiscard]] virtual std::string_view server(service::BackendId id) const = 0;
};

// What a line is written of.
struct Source {
  const http::AccessRecord& record;
  const RecordNames& names;
};

// "$remote_addr", "%ci": the name as it is written, and what is written in its place.
struct Variable {
  std::string_view name;
  void (*append)(std::string& line, const Source& source);
};
[[nodiscard]] std::span<const Variable> variables();

struct TemplateError {
  std::size_t position = 0;  // in the template, from 0
  std::string text;          // "what was wrong; what is allowed"
};

// Immutable; any thread.
class LineFormat {
 public:
  static constexpr std::size_t longest_template = 4'096;

  // One JSON object.
  LineFormat() = default;
  // "$name", "${name}" and "%name" are variables, "$$" and "%%" the signs themselves; everything else stands for
  // itself.
  [[nodiscard]] static tl::expected<LineFormat, TemplateError> from_template(std::string_view text);

  // Appends a line with its end.
  void append(std::string& line, const Source& source) const;

 private:
  // Text, and what follows it.
  struct Piece {
    std::string text;
    const Variable* variable = nullptr;  // none at the end
  };
  std::vector<Piece> pieces_;  // empty: JSON
};

}  // namespace steelyard::control::access_log

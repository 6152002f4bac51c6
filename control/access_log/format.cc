#include "control/access_log/format.h"

#include <algorithm>

#include "control/access_log/line_text.h"
#include "control/access_log/words.h"

namespace steelyard::control::access_log {
namespace {

// --- JSON --------------------------------------------------------------------------------------------------------

// Writes members of an object. Names are ours and need no escaping.
class JsonLine {
 public:
  explicit JsonLine(std::string& line) : line_(line) {}

  std::string& member(std::string_view name) {
    line_ += line_.size() == begin_ ? "{\"" : ",\"";
    line_ += name;
    line_ += "\":";
    return line_;
  }
  void text(std::string_view name, std::string_view value) { append_json(member(name), value); }
  void text_or_null(std::string_view name, std::string_view value) {
    if (value.empty()) {
      member(name) += "null";
    } else {
      text(name, value);
    }
  }
  void number(std::string_view name, std::uint64_t value) { append_number(member(name), value); }
  void time(std::string_view name, std::uint32_t microseconds) {
    if (microseconds == http::AccessRecord::never) {
      member(name) += "null";
    } else {
      number(name, microseconds);
    }
  }

 private:
  std::string& line_;
  std::size_t begin_ = line_.size();
};

void append_object(std::string& line, const Source& source) {
  const http::AccessRecord& record = source.record;
  JsonLine json(line);
  append_iso8601(json.member("time") += '"', record.accepted_at);
  line += '"';
  json.text_or_null("listener", source.names.listener(record.listener));
  json.text("client", record.client.to_string());
  json.number("client_port", record.client_port);
  json.text("method", record.method.view());
  json.text("host", record.host.view());
  json.text("target", record.target_text.view());
  json.text("version", version_word(record));
  json.number("status", record.status);
  json.text_or_null("cause", record.cause == http::Cause::none ? std::string_view() : http::code_of(record.cause));
  json.text_or_null("server_group", target_name(source));
  json.text_or_null("server", server_name(source));
  json.text("session", cookie_word(record.cookie));
  json.number("retries", record.retries);
  json.time("head_us", record.head_us);
  json.time("queue_us", record.queue_us);
  json.time("connect_us", record.connect_us);
  json.time("first_octet_us", record.first_octet_us);
  json.time("total_us", record.total_us);
  json.number("octets_in", record.octets_in);
  json.number("octets_out", record.octets_out);
  json.number("gzip_in", record.gzip_in);
  json.number("gzip_out", record.gzip_out);
  json.member("cut") += record.method.cut || record.host.cut || record.target_text.cut ? "true}" : "false}";
}

// --- templates ---------------------------------------------------------------------------------------------------

bool is_letter(char octet) {
  return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z');
}
bool is_name_octet(char octet) {
  return is_letter(octet) || (octet >= '0' && octet <= '9') || octet == '_';
}

std::string known_names(char sign) {
  std::string names;
  for (const Variable& variable : variables()) {
    if (variable.name[0] == sign) {
      names += (names.empty() ? "" : ", ") + std::string(variable.name);
    }
  }
  return names;
}

// For people: printable, whatever it is.
std::string in_quotes(std::string_view text) {
  std::string quoted = "`";
  append_escaped(quoted, text.substr(0, 64));
  return quoted + "`";
}

// What stands at a sign.
struct Reference {
  std::size_t length = 0;
  const Variable* variable = nullptr;  // null: the sign itself
};

// `text` begins with "$" or "%". The error's position is in `text`.
tl::expected<Reference, TemplateError> read_reference(std::string_view text) {
  const char sign = text[0];
  if (text.size() > 1 && text[1] == sign) {
    return Reference{2, nullptr};
  }
  const bool braces = sign == '$' && text.size() > 1 && text[1] == '{';
  const std::string_view rest = text.substr(braces ? 2 : 1);
  const auto is_of_name = sign == '$' ? is_name_octet : is_letter;
  const auto end = std::ranges::find_if_not(rest, is_of_name);
  const std::string name = sign + std::string(rest.begin(), end);
  const std::size_t length = (braces ? 2U : 1U) + name.size() - 1;
  if (name.size() == 1) {
    return tl::unexpected(TemplateError{0, std::string("no name after \"") + sign + "\"; write \"" + sign + sign +
                                               "\" for the sign itself, or one of " + known_names(sign)});
  }
  if (braces && (length == text.size() || text[length] != '}')) {
    return tl::unexpected(TemplateError{length, "the name after \"${\" does not end with \"}\""});
  }
  const auto found = std::ranges::find(variables(), std::string_view(name), &Variable::name);
  if (found == variables().end()) {
    return tl::unexpected(TemplateError{0, "unknown variable " + in_quotes(name) + "; known are " + known_names(sign)});
  }
  return Reference{length + (braces ? 1U : 0U), &*found};
}

}  // namespace

tl::expected<LineFormat, TemplateError> LineFormat::from_template(std::string_view text) {
  if (text.empty() || text.size() > longest_template) {
    return tl::unexpected(TemplateError{0, "a template has 1 to " + std::to_string(longest_template) + " bytes"});
  }
  LineFormat format;
  Piece piece;
  for (std::size_t place = 0; place < text.size();) {
    const char octet = text[place];
    if (octet != '$' && octet != '%') {
      if ((static_cast<unsigned char>(octet) < ' ' && octet != '\t') || octet == 0x7f) {
        return tl::unexpected(TemplateError{
            place, "control character " + in_quotes(text.substr(place, 1)) + "; a template is one line of text"});
      }
      piece.text += octet;
      ++place;
      continue;
    }
    auto reference = read_reference(text.substr(place));
    if (!reference) {
      reference.error().position += place;
      return tl::unexpected(std::move(reference.error()));
    }
    place += reference->length;
    if (reference->variable == nullptr) {
      piece.text += octet;
      continue;
    }
    piece.variable = reference->variable;
    format.pieces_.push_back(std::exchange(piece, {}));
  }
  if (!piece.text.empty()) {
    format.pieces_.push_back(std::move(piece));
  }
  return format;
}

void LineFormat::append(std::string& line, const Source& source) const {
  if (pieces_.empty()) {
    append_object(line, source);
  }
  for (const Piece& piece : pieces_) {
    line += piece.text;
    if (piece.variable != nullptr) {
      piece.variable->append(line, source);
    }
  }
  line += '\n';
}

}  // namespace steelyard::control::access_log

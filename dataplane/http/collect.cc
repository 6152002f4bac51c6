#include "dataplane/http/collect.h"

#include <llhttp.h>

#include "dataplane/http/characters.h"

namespace steelyard::http {
namespace {

static_assert(LLHTTP_STRICT_MODE == 1);

class Collector {
 public:
  Collector(llhttp_type_t type, std::size_t limit, Fields& fields);

  void read(std::string_view octets) { llhttp_execute(&parser_, octets.data(), octets.size()); }

  // `head`: all that has been read, its empty line included.
  [[nodiscard]] Collected result(std::string_view head, std::size_t lines) const {
    return {.fault = fault_of(head, lines),
            .too_many = too_many_,
            .chunked = (parser_.flags & F_CHUNKED) != 0,
            .length = parser_.content_length};
  }

 private:
  static Collector& of(llhttp_t* parser) { return *static_cast<Collector*>(parser->data); }

  static int on_name(llhttp_t* parser, const char* at, std::size_t length) {
    of(parser).name_ = {at, length};
    return HPE_OK;
  }

  static int on_value(llhttp_t* parser, const char* at, std::size_t length) {
    Collector& collector = of(parser);
    if (collector.fields_.size() >= collector.limit_ ||
        !collector.fields_.add({collector.name_, trimmed({at, length})})) {
      collector.too_many_ = true;
      return HPE_USER;
    }
    return HPE_OK;
  }

  // llhttp is of no use for bodies: they never are contiguous (body.h).
  static int on_head(llhttp_t* /*parser*/) { return HPE_PAUSED; }

  static constexpr llhttp_settings_t callbacks() {
    llhttp_settings_t settings{};
    settings.on_header_field = on_name;
    settings.on_header_value = on_value;
    settings.on_headers_complete = on_head;
    return settings;
  }

  [[nodiscard]] const char* fault_of(std::string_view head, std::size_t lines) const {
    if (too_many_) {
      return "too many fields";
    }
    const auto error = llhttp_get_errno(&parser_);
    const char* const stopped_at = llhttp_get_error_pos(&parser_);
    if (error != HPE_PAUSED) {
      return error == HPE_OK ? "no end of the head" : why_stopped(head, stopped_at);
    }
    if (stopped_at != head.data() + head.size()) {
      return "llhttp sees another end of the head";
    }
    // A line that llhttp has swallowed, or made two of.
    return fields_.size() == lines ? nullptr : "llhttp sees other lines";
  }

  // Names what is wrong with the line where llhttp has stopped, so that the log says more than "invalid token".
  [[nodiscard]] const char* why_stopped(std::string_view head, const char* stopped_at) const {
    if (stopped_at < head.data() || stopped_at > head.data() + head.size()) {
      return llhttp_get_error_reason(&parser_);
    }
    const auto at = static_cast<std::size_t>(stopped_at - head.data());
    const std::size_t before = at == 0 ? std::string_view::npos : head.rfind('\n', at - 1);
    if (before == std::string_view::npos) {
      return llhttp_get_error_reason(&parser_);  // the first line
    }
    const std::string_view line = head.substr(before + 1, head.find('\r', before) - before - 1);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      return "a field without a colon";
    }
    if (colon == 0) {
      return "a field without a name";
    }
    // RFC 9112 section 5.1: "a server MUST reject [...] whitespace between a header field name and colon"
    if (is_blank(line[colon - 1])) {
      return "a blank before a colon";
    }
    return is_token(line.substr(0, colon)) ? llhttp_get_error_reason(&parser_) : "a field's name is no token";
  }

  llhttp_t parser_;
  Fields& fields_;
  std::size_t limit_;
  std::string_view name_;
  bool too_many_ = false;
};

Collector::Collector(llhttp_type_t type, std::size_t limit, Fields& fields) : fields_(fields), limit_(limit) {
  static constexpr llhttp_settings_t settings = callbacks();
  llhttp_init(&parser_, type, &settings);
  parser_.data = this;
}

}  // namespace

Collected collect_request_fields(std::string_view head, std::size_t lines, std::size_t limit, Fields& fields) {
  Collector collector{HTTP_REQUEST, limit, fields};
  // llhttp knows a list of methods and has rules of its own for some; which ones are allowed is not its to say. To it
  // every request is a GET of the target that follows.
  collector.read("GET");
  collector.read(head.substr(head.find(' ')));
  return collector.result(head, lines);
}

Collected collect_response_fields(std::string_view head, std::size_t lines, std::size_t limit, Fields& fields) {
  Collector collector{HTTP_RESPONSE, limit, fields};
  collector.read(head);
  return collector.result(head, lines);
}

}  // namespace steelyard::http

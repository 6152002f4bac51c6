// See the header.
#include "healthcheck/http_answer.h"

#include <algorithm>
#include <utility>

namespace steelyard::healthcheck {
namespace {

// What a callback of llhttp answers: go on, or this message has no body.
constexpr int proceed = 0;
constexpr int no_body = 1;

}  // namespace

const llhttp_settings_t& HttpAnswer::settings() {
  static const llhttp_settings_t table = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_headers_complete = [](llhttp_t* parser) { return static_cast<HttpAnswer*>(parser->data)->on_head(); };
    made.on_message_complete = [](llhttp_t* parser) {
      static_cast<HttpAnswer*>(parser->data)->on_message();
      return proceed;
    };
    return made;
  }();
  return table;
}

HttpAnswer::HttpAnswer(HttpMethod method, StatusClasses accepted) : method_(method), accepted_(accepted) {
  llhttp_init(&parser_, HTTP_RESPONSE, &settings());
}

std::optional<HttpAnswer::Verdict> HttpAnswer::feed(std::span<const char> bytes) {
  if (verdict_)
    return verdict_;
  const auto taken = bytes.first(std::min(bytes.size(), cap - seen_));
  seen_ += taken.size();
  parser_.data = this;
  const llhttp_errno_t error = llhttp_execute(&parser_, taken.data(), taken.size());
  // Anything after the verdict (a body after a HEAD's head, say) is of no interest, and neither is what is wrong with
  // it.
  if (!verdict_ && error != HPE_OK) {
    const char* reason = llhttp_get_error_reason(&parser_);
    fail(std::string("not an HTTP answer: ") + (reason != nullptr ? reason : llhttp_errno_name(error)));
  }
  if (!verdict_ && seen_ == cap) {
    if (head_complete_) {
      decide(true);
    } else {
      fail("HTTP head larger than 8 KB");
    }
  }
  return verdict_;
}

HttpAnswer::Verdict HttpAnswer::finish() {
  if (verdict_)
    return *verdict_;
  parser_.data = this;
  // Completes an answer whose body ends with the connection.
  static_cast<void>(llhttp_finish(&parser_));
  if (!verdict_)
    fail(seen_ == 0 ? "closed without an answer" : "closed before the answer was complete");
  return *verdict_;
}

int HttpAnswer::on_head() {
  if (verdict_)
    return proceed;
  const unsigned status = parser_.status_code;
  // RFC 9110 section 15.2: interim answers come before the final one. 101 is none: we asked for no upgrade.
  if (status >= 100 && status <= 199 && status != 101)
    return no_body;
  head_complete_ = true;
  const bool success = accepted_.contains(status);
  if (method_ == HttpMethod::head || !success) {
    decide(success);
    return no_body;
  }
  return proceed;
}

void HttpAnswer::on_message() {
  if (!verdict_ && head_complete_)
    decide(true);
}

void HttpAnswer::decide(bool success) {
  std::string reason = "HTTP " + std::to_string(parser_.status_code);
  if (!success)
    reason += ", allowed " + accepted_.to_string();
  verdict_ = Verdict{.success = success, .reason = std::move(reason)};
}

void HttpAnswer::fail(std::string reason) {
  verdict_ = Verdict{.success = false, .reason = std::move(reason)};
}

}  // namespace steelyard::healthcheck

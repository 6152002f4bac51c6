// Reads a server's answer to an HTTP health probe: bytes in, verdict out, parsed by llhttp in strict mode. Pure: no
// socket, no clock. Whatever the server sends, at most `cap` bytes are looked at and none of them gets into a reason.
#pragma once

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "healthcheck/probe.h"

namespace steelyard::healthcheck {

class HttpAnswer {
 public:
  static constexpr std::size_t cap = 8 * 1024;  // the SLB offering reads as much of a GET's answer

  struct Verdict {
    bool success = false;
    std::string reason;  // "HTTP 200", "HTTP 503, allowed 2xx 3xx", "not an HTTP answer: ..."
    friend bool operator==(const Verdict&, const Verdict&) = default;
  };

  HttpAnswer(HttpMethod method, StatusClasses accepted);

  // Takes the next bytes of the answer. The verdict comes with the head, or with the end of the body (or the cap) of a
  // GET whose status is accepted, and is final; the same bytes give the same verdict however they are cut up.
  [[nodiscard]] std::optional<Verdict> feed(std::span<const char> bytes);
  // The server has closed the connection.
  [[nodiscard]] Verdict finish();

  // Whether a timeout came after the head: tells a slow body from a silent server.
  [[nodiscard]] bool head_complete() const { return head_complete_; }

 private:
  static const llhttp_settings_t& settings();
  int on_head();
  void on_message();
  void decide(bool success);
  void fail(std::string reason);

  llhttp_t parser_{};
  HttpMethod method_;
  StatusClasses accepted_;
  std::size_t seen_ = 0;
  bool head_complete_ = false;
  std::optional<Verdict> verdict_;
};

}  // namespace steelyard::healthcheck

// Why Steelyard itself has answered, or has ended, a request: two letters in the access log, the metrics and the page.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace steelyard::http {

enum class Cause : std::uint8_t {
  none,                // --  the server's answer
  bad_request,         // BR  400
  plain_on_tls,        // PT  400, plain HTTP on an HTTPS port
  denied,              // DR  403
  bad_method,          // BM  405, CONNECT and TRACE
  header_timeout,      // HT  408
  body_timeout,        // BT  408
  body_too_large,      // BL  413
  target_too_long,     // UL  414
  rate_limited,        // RL  429
  head_too_large,      // HL  431
  bad_version,         // BV  505
  redirected,          // RD  30x by a redirect listener
  fixed_answer,        // FX
  last_hop,            // MF  200: OPTIONS that may not be passed on (Max-Forwards: 0)
  no_server,           // NS  503: no server of the group is usable
  sticky_server_down,  // SD  503: the session's server is down, and the cookie is strict
  queue_full,          // QF  503
  queue_timeout,       // QT  503
  no_room,             // NR  503: connections, buffers or local ports are used up
  listener_stopped,    // LS  503: stopped or removed while the connection was open
  connect_failed,      // CF  502: no server accepted
  connect_timeout,     // CT  502: the last server tried did not answer in time
  bad_answer,          // BA  502: the server's answer is malformed
  server_closed,       // SC  502: the server closed before an answer
  server_withdrawn,    // SW  502: the server was taken away: failed, drained, removed, or by an administrator's word
  answer_timeout,      // AT  504
  answer_cut_short,    // AC  the server ended in the middle of an answer that has begun
  answer_stalled,      // AS  the server stopped in the middle of an answer that has begun
  client_gone,         // CG  the client ended before its answer was complete
  client_stalled,      // CS  the client does not read its answer
  bad_proxy_header,    // PH  a trusted proxy's connection does not begin with a PROXY header; it gets no answer
};
inline constexpr std::size_t cause_count = static_cast<std::size_t>(Cause::bad_proxy_header) + 1;

[[nodiscard]] constexpr std::string_view code_of(Cause cause) {
  constexpr std::array<std::string_view, cause_count> codes{
      "--", "BR", "PT", "DR", "BM", "HT", "BT", "BL", "UL", "RL", "HL", "BV", "RD", "FX", "MF", "NS",
      "SD", "QF", "QT", "NR", "LS", "CF", "CT", "BA", "SC", "SW", "AT", "AC", "AS", "CG", "CS", "PH"};
  return codes[static_cast<std::size_t>(cause)];
}

}  // namespace steelyard::http

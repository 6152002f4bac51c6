// What is known of a request when it is over: one record of fixed size, so that a worker can put it into a ring without
// allocating. Texts that are longer are cut.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/cause.h"
#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"

namespace steelyard::http {

template <std::size_t most>
struct CutText {
  std::array<char, most> octets{};
  std::uint16_t length = 0;
  bool cut = false;

  void assign(std::string_view text) {
    length = static_cast<std::uint16_t>(std::min(text.size(), most));
    std::copy_n(text.begin(), length, octets.begin());
    cut = text.size() > most;
  }
  [[nodiscard]] std::string_view view() const { return {octets.data(), length}; }
};

// What a session cookie has decided.
enum class CookieVerdict : std::uint8_t {
  off,      // no persistence
  absent,   // none came: a server was scheduled
  valid,    // its server was used
  invalid,  // forged, or not ours
  expired,
  down,     // its server is down or gone: another one was scheduled
  drained,  // its server takes no more sessions: another one was scheduled
};

struct AccessRecord {
  std::uint64_t accepted_at = 0;  // seconds since 1970, in microseconds: when the request's first octet came
  service::ListenerId listener;
  service::ListenerId target;  // 0: no rule was asked
  service::BackendId backend;  // 0: no server was chosen
  service::Address client;
  std::uint16_t client_port = 0;
  std::uint16_t status = 0;  // 0: none was sent
  Cause cause = Cause::none;
  CookieVerdict cookie = CookieVerdict::off;
  std::uint8_t retries = 0;
  bool http_1_0 = false;
  // Microseconds; never: not reached.
  static constexpr std::uint32_t never = 0xffffffffU;
  std::uint32_t head_us = never;         // from the first octet to the head's end
  std::uint32_t queue_us = never;        // waiting for a server
  std::uint32_t connect_us = never;      // 0: an idle connection was used
  std::uint32_t first_octet_us = never;  // from the request's way to the server to the answer's head
  std::uint32_t total_us = 0;
  std::uint64_t octets_in = 0;   // from the client, head included
  std::uint64_t octets_out = 0;  // to the client, head included
  std::uint64_t gzip_in = 0;     // of the body, before it was gzipped; 0: it was not
  std::uint64_t gzip_out = 0;    // and after
  CutText<16> method;
  CutText<64> host;
  CutText<256> target_text;
};

}  // namespace steelyard::http

// A request under way and its answer. Made when a request's head has come, gone when its answer has been sent.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/http/access_record.h"
#include "dataplane/http/body.h"
#include "dataplane/http/cookie.h"
#include "dataplane/http/gzip.h"
#include "dataplane/http/link.h"
#include "dataplane/schedule/maglev.h"

namespace steelyard::http {

enum class Stage : std::uint8_t {
  free,
  queued,      // for a server that has room
  connecting,  // to a server
  waiting,     // for the answer's head; the request's body is on its way
  answering,   // the answer's body is on its way
  tunnel,      // after a 101: octets, both ways
};

struct Exchange {
  static constexpr std::size_t most_tries = 3;

  Stage stage = Stage::free;
  LinkIndex client = nobody;
  LinkIndex server = nobody;
  ExchangeIndex next_free = nobody;

  // --- the request -----------------------------------------------------------------------------------------------
  Method method = Method::get;
  bool client_is_1_0 : 1 = false;
  bool client_keeps_alive : 1 = true;
  bool wants_upgrade : 1 = false;
  bool waits_for_continue : 1 = false;  // the client holds its body back until a 100 comes
  bool replayable : 1 = true;           // nothing of the body is on its way
  bool body_taken : 1 = false;          // all of the request has been read
  bool close_client : 1 = false;        // after the answer
  bool close_server : 1 = false;
  bool reused : 1 = false;                     // the server's connection has carried requests before
  bool set_cookie : 1 = false;                 // the answer gets our cookie
  bool counted : 1 = false;                    // as the server's request
  bool head_sent : 1 = false;                  // of the answer
  bool fresh_only : 1 = false;                 // no idle connection, which may be stale
  bool moved : 1 = false;                      // since arm() looked last
  bool on_client : 1 = false;                  // it is the client that is waited for
  bool strip_framing : 1 = false;              // chunks are taken apart for a client that does not know them
  bool accepts_gzip : 1 = false;               // and its listener has it on
  bool tells_vary : 1 = false;                 // the answer is still to say that it depends on Accept-Encoding
  CompressorIndex compressor = no_compressor;  // of the answer's body
  BodyReader request_body;
  tcp::SliceQueue replay;    // the request's head, as often as it may be sent
  std::uint8_t preface = 0;  // octets of a PROXY header in front of it, for a server's connection that is new; 0: none
  std::uint8_t interims = 0;
  schedule::ClientKey key;  // of a target with a scheduler by hash

  // --- the server ------------------------------------------------------------------------------------------------
  service::ListenerId listener;  // where the client came to
  service::ListenerId target;
  std::uint32_t place = 0;              // of the server in the target, at the time of the choice
  std::uint32_t sticky_place = nobody;  // of the session's server
  service::BackendId sticky_backend;
  std::uint8_t sticky_tried = 0;          // how often
  std::uint8_t lost = 0;                  // how often a server has ended without a word
  std::uint8_t tries = 0;                 // servers that have failed
  Cause failure = Cause::connect_failed;  // of the last one
  std::array<service::BackendId, most_tries> tried{};
  std::uint32_t cookie_first_seen = 0;
  ServerTag tag;  // of the server
  tcp::Time connect_deadline = tcp::never;
  ExchangeIndex queue_next = nobody;
  ExchangeIndex queue_previous = nobody;

  // --- the answer ------------------------------------------------------------------------------------------------
  BodyReader response_body;

  // --- for the log -----------------------------------------------------------------------------------------------
  tcp::Time head_at{};     // the request's head was complete
  tcp::Time try_at{};      // the connection was asked for
  tcp::Time request_at{};  // the request was on its way
  AccessRecord record;
};

}  // namespace steelyard::http

// A connection's state as people read it, by its name in RFC 9293.
#pragma once

#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

[[nodiscard]] constexpr const char* name_of(State state) {
  switch (state) {
    case State::closed:
      return "closed";
    case State::syn_sent:
      return "syn_sent";
    case State::syn_received:
      return "syn_received";
    case State::established:
      return "established";
    case State::fin_wait_1:
      return "fin_wait_1";
    case State::fin_wait_2:
      return "fin_wait_2";
    case State::close_wait:
      return "close_wait";
    case State::closing:
      return "closing";
    case State::last_ack:
      return "last_ack";
    case State::time_wait:
      return "time_wait";
  }
  return "unknown";
}

}  // namespace steelyard::tcp

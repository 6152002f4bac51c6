// What one acknowledgment has brought: gathered by acknowledgment.cc, judged there and in undo.cc. For those two files.
#pragma once

#include <cstdint>

#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

struct Connection::Progress {
  Sequence before;                 // SND.UNA as it was
  std::uint32_t acknowledged = 0;  // sequence numbers, cumulatively
  std::uint32_t delivered = 0;     // that had not arrived before, as far as we know
  std::uint32_t flight_before = 0;
  Time sampled_at = never;   // transmission of the first node that gives a sample
  Time latest_at = never;    // ... of the last one
  Duration since_before{0};  // since the last acknowledgment of something new
  SackBlock duplicate;       // D-SACK, when duplicate_reported
  bool repetition_acknowledged = false;
  bool original_acknowledged = false;  // something of before the response to losses, that was never repeated
  bool duplicate_reported = false;
  bool repeats = false;       // says nothing that was not said before
  bool is_duplicate = false;  // RFC 5681 section 2: repeats, while data are outstanding
};

}  // namespace steelyard::tcp

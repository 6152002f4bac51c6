// TCP segments as values: what has come, what is to go out, and what a connection tells those above it. The wire's form
// is in wire.h.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/packet/view.h"
#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/options.h"
#include "dataplane/tcp/slice.h"

namespace steelyard::tcp {

namespace flag = packet::tcp_flag;

// What all segments have.
struct SegmentHeader {
  Sequence sequence;
  Sequence acknowledgment;
  std::uint16_t window = 0;  // as it stands in the segment
  std::uint8_t flags = 0;
  Options options{};

  [[nodiscard]] bool has(std::uint8_t bit) const { return (flags & bit) != 0; }
};

// A segment that has come, its checksum verified. Owns a reference to its payload's buffer, if it has payload; who
// takes a Segment by `const Segment&` as an input takes that reference over.
struct Segment : SegmentHeader {
  Slice payload{};

  // In sequence numbers.
  [[nodiscard]] std::uint32_t length() const {
    return payload.length + (has(flag::syn) ? 1U : 0U) + (has(flag::fin) ? 1U : 0U);
  }
  [[nodiscard]] Sequence end() const { return sequence + length(); }
};

// A segment to be sent. The payload stays its queue's: who keeps a slice longer than the call adds a reference.
struct Outgoing : SegmentHeader {
  std::span<const Slice> payload{};
};

// Why a connection is over.
enum class Cause : std::uint8_t {
  finished,  // both sides have closed
  refused,   // a reset answered our SYN
  reset_by_peer,
  timed_out,  // the peer has not acknowledged for too long, or no SYN-ACK came
  keepalive_failed,
  aborted,      // by the application
  unreachable,  // an ICMP error answered our SYN
  unread_data,  // the application closed and left data unread, or data came after that (RFC 2525 section 2.17)
  no_memory,    // not even a FIN could be queued
};

enum class Event : std::uint8_t {
  established,    // the handshake is complete
  writable,       // half of what a send() may fill is free again, after one that took less than it was given
  peer_finished,  // the peer's FIN is in order: no more data will come
  in_trouble,     // three timeouts in a row, or an ICMP error about it (RFC 9293 section 3.9.1.8); it goes on
  over,           // nothing more happens; see Connection::cause()
};

// What a connection's calls bring about, in the order in which it happens. Called from within them: an Output must not
// call the connection back, but note what it is told and act later.
class Output {
 public:
  virtual void transmit(const Outgoing& segment) = 0;
  // In-order payload; the reference is the receiver's. Every octet is to be given back by Connection::consume().
  virtual void deliver(const Slice& slice) = 0;
  virtual void notify(Event event) = 0;

 protected:
  ~Output() = default;
};

}  // namespace steelyard::tcp

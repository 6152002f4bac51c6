// What routers and hosts say about segments of ours: a path has become narrower (RFC 1191, RFC 8201), or something is
// in the way (RFC 9293 section 3.9.2.2). Nobody signs such a message: believed is only what quotes a number that is
// outstanding (RFC 5927 section 4.1).
#include <algorithm>

#include "dataplane/tcp/connection.h"

namespace steelyard::tcp {

using packet::after;

void Connection::on_path_mtu(const Context& context, Sequence quoted, std::uint32_t mtu) {
  const bool outstanding =
      synchronized() && queue_.outstanding() && !after(send_unacknowledged_, quoted) && after(send_next_, quoted);
  // RFC 8201 section 4: what is below IPv6's minimum is discarded. IPv4's old routers do not say what fits (RFC 1191
  // section 5).
  const bool absurd = mtu < minimum_mtu_ && minimum_mtu_ == packet::Ipv6::minimum_mtu;
  const std::uint32_t believed = std::max<std::uint32_t>(mtu, minimum_mtu_);
  if (!outstanding || absurd || believed - headers_ >= segment_size_) {
    return;
  }
  const std::uint32_t before = payload_room();
  segment_size_ = static_cast<std::uint16_t>(believed - headers_);
  // RFC 5681 section 3.1: as many segments as before, not as many octets.
  cubic_.set_window(static_cast<std::uint32_t>(std::uint64_t{cubic_.window()} * payload_room() / before));
  queue_.mark_larger_lost(context.memory, payload_room());
  finish(context);
}

// RFC 9293 section 3.9.2.2.
void Connection::on_unreachable(const Context& context, Sequence quoted, bool hard) {
  if (state_ == State::closed || state_ == State::time_wait || after(send_unacknowledged_, quoted) ||
      !after(send_next_, quoted)) {
    return;
  }
  if (hard && !synchronized()) {
    end(context, Cause::unreachable);
  } else {
    context.output.notify(Event::in_trouble);
  }
}

}  // namespace steelyard::tcp

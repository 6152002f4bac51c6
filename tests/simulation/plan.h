// What a simulated world is like: its link and its two hosts. Drawn from a seed, or written down by a test.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "dataplane/tcp/settings.h"
#include "dataplane/tcp/time.h"

namespace steelyard::simulation {

using tcp::Duration;
using tcp::Time;
using namespace std::chrono_literals;

// Both directions are alike.
struct LinkPlan {
  Duration delay{0};   // one way
  Duration jitter{0};  // more, for each packet anew: reorders
  unsigned loss = 0;   // of 1,000 packets, as the next two
  unsigned duplication = 0;
  unsigned corruption = 0;      // one bit
  std::uint64_t rate = 0;       // octets a second; 0: without limit
  std::uint32_t queue = 0;      // with a rate: octets that wait for it at most
  std::uint32_t mtu = 0xffff;   // what is longer is dropped, and a router says so (RFC 1191); it may be lost
  Time narrow_at = tcp::never;  // from when on `mtu` counts
  bool strip_sack = false;      // middleboxes that take options out of SYNs
  bool strip_timestamps = false;
  bool strip_scale = false;
};

// How a host ends its connection.
enum class Closing : std::uint8_t {
  shutdown,  // a FIN after its last octet; reads until the peer's
  close,     // at `closing_at`, whatever it has read and written
  abort,     // at `closing_at`
};

struct HostPlan {
  std::uint32_t octets = 0;  // that it sends
  std::uint32_t largest_slice = 4'000;
  std::uint32_t receive_buffer = 65'536;
  std::uint32_t send_buffer = 65'536;
  std::uint32_t receive_start = tcp::unlimited;
  std::uint32_t unsent = tcp::unlimited;  // where buffers are not ample
  bool ample = true;
  Duration slowest_read{0};  // between two reads
  Duration delayed_acknowledgment = 40ms;
  Closing closing = Closing::shutdown;
  Duration closing_at{0};
  std::uint32_t before_wrap = 0;  // initial sequence number: that far before 0; 0: any
  unsigned clock_days = 0;        // what its clock says more than the other's: 32-bit milliseconds wrap after 49 days
  bool nagle = false;
};

struct Plan {
  LinkPlan link;
  std::array<HostPlan, 2> hosts;
  std::uint16_t mtu = 1'500;
  bool v6 = false;
  bool simultaneous = false;  // both open, nobody listens
  bool cookies = false;       // SYN cookies from the first SYN on

  // All octets arrive and both sides hear of the end, if nobody closes early. With cookies an acknowledgment of what is
  // not known yet looks like one of nothing, and is reset: the client's answer to a second SYN-ACK that overtakes its
  // data.
  [[nodiscard]] bool is_orderly() const {
    const bool overtaken = cookies && link.jitter > Duration{0} && link.duplication != 0;
    return hosts[0].closing == Closing::shutdown && hosts[1].closing == Closing::shutdown && !overtaken;
  }
};

// Up to 64 KiB each way, loss up to 30 %, and everything else that the structs above have.
[[nodiscard]] Plan draw_plan(std::uint64_t seed);

// On one line, for the report of a run that failed.
[[nodiscard]] std::string to_string(const Plan& plan);

}  // namespace steelyard::simulation

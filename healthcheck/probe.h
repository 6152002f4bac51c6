// What a health probe is and what it answers: the values that the scheduler, the probes and the control side share,
// and the interface between the scheduler and whoever puts probes on the wire. No sockets here, no clock.
// Facts behind the choices: one probe = one connection or one datagram; a TCP probe ends in RST, never FIN;
// a silent UDP server is healthy.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace steelyard::healthcheck {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

enum class ProbeType : std::uint8_t { tcp, http, udp };
enum class HttpMethod : std::uint8_t { head, get };

// A set of HTTP status classes (1xx..5xx).
class StatusClasses {
 public:
  constexpr StatusClasses() = default;
  // `hundreds` is 1..5; anything else changes nothing.
  constexpr StatusClasses& allow(unsigned hundreds) {
    if (hundreds >= 1 && hundreds <= 5)
      bits_ = static_cast<std::uint8_t>(bits_ | (1U << hundreds));
    return *this;
  }
  // Whether a whole status code such as 204 lies in an allowed class.
  [[nodiscard]] constexpr bool contains(unsigned status) const {
    return status >= 100 && status <= 599 && ((bits_ >> (status / 100)) & 1U) != 0;
  }
  [[nodiscard]] constexpr std::uint8_t bits() const { return bits_; }
  // "2xx 3xx"; "none" when empty.
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(const StatusClasses&, const StatusClasses&) = default;

 private:
  std::uint8_t bits_ = 0;
};

// Everything that makes one probe what it is. Two targets with equal specs share one probe, so fields that do not
// belong to `type` must be left at their defaults. Text fields come validated (no control characters, no spaces).
struct ProbeSpec {
  ProbeType type = ProbeType::tcp;
  boost::asio::ip::address address;
  std::uint16_t port = 0;                     // host order
  std::chrono::milliseconds interval{2'000};  // from the end of one probe to the start of the next
  std::chrono::milliseconds timeout{5'000};   // for the whole probe, from connect to verdict

  HttpMethod method = HttpMethod::head;
  std::string path = "/";
  std::string host;  // empty: the server's address (and port unless 80)
  StatusClasses accepted = StatusClasses{}.allow(2).allow(3);

  std::string request;  // UDP payload; empty: an empty datagram
  std::string expect;   // UDP: the answer must contain this; empty: silence is fine

  std::string interface;            // SO_BINDTODEVICE, at most 15 characters; empty: by the routing table
  boost::asio::ip::address source;  // unspecified: chosen by the kernel

  friend bool operator==(const ProbeSpec&, const ProbeSpec&) = default;
};

struct ProbeSpecHash {
  [[nodiscard]] std::size_t operator()(const ProbeSpec& spec) const noexcept;
};

// The address as it stands before a port: IPv6 in brackets.
[[nodiscard]] std::string address_text(const boost::asio::ip::address& address);

// For humans: "tcp 10.0.0.1:80", "http HEAD http://10.0.0.1:80/check (host example.org)", "udp [2001:db8::1]:53".
[[nodiscard]] std::string describe(const ProbeSpec& spec);

// `local_error`: the probe could not be made (no descriptor, no route, no such interface): our fault, not the server's.
enum class ProbeOutcome : std::uint8_t { success, failure, local_error };

struct ProbeResult {
  ProbeOutcome outcome = ProbeOutcome::failure;
  // For humans and never with bytes of the server in it: "connected", "connection refused", "timeout after 5 s",
  // "HTTP 503, allowed 2xx 3xx", "ICMP port unreachable".
  std::string reason;
  std::chrono::nanoseconds duration{0};

  [[nodiscard]] bool success() const { return outcome == ProbeOutcome::success; }
};

// Names a running probe of one Prober; never reused while the Prober lives.
struct ProbeHandle {
  std::uint64_t value = 0;
  friend bool operator==(const ProbeHandle&, const ProbeHandle&) = default;
};

// Puts probes on the wire. Control thread only.
class Prober {
 public:
  using Done = std::function<void(ProbeResult)>;

  Prober() = default;
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;
  virtual ~Prober() = default;

  // Begins a probe; `spec` must outlive it. `done` is called exactly once, at the latest `spec.timeout` later and never
  // from inside start(), unless the probe is cancelled first. `done` may start and cancel probes.
  virtual ProbeHandle start(const ProbeSpec& spec, Done done) = 0;
  // Ends a probe silently. A handle that is already done is ignored.
  virtual void cancel(ProbeHandle handle) = 0;
};

}  // namespace steelyard::healthcheck

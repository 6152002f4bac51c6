// SYN cookies (RFC 4987 section 3.6): a handshake kept in the numbers that the client sends back, so that a SYN costs
// no memory at all.
//
//   sequence number  | 1 bit: secret | 3 bits: segment size | 28 bits: keyed hash |
//   timestamp        | 26 bits of clock | 1 bit unused | 1 bit: SACK | 4 bits: window scale, 15 none |
//
// A secret lives for 64 s and is believed for as long again. What the timestamp says is not covered by the hash: who
// forges it forges the options of his own connection.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/tcp/handshake.h"
#include "dataplane/tcp/siphash.h"
#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

class SynCookies {
 public:
  // `master`: drawn at start; the secrets of all times follow from it.
  explicit SynCookies(const SipKey& master) : master_(master) {}

  // The initial sequence number for the SYN-ACK.
  [[nodiscard]] Sequence make(const Endpoints& endpoints, const Handshake& handshake, Time now) const;

  // The timestamp for the SYN-ACK, not later than `timestamp`, which is what the clock says.
  [[nodiscard]] static std::uint32_t make_timestamp(const Handshake& handshake, std::uint32_t timestamp);

  // The handshake that an acknowledgment completes: `initial` is its acknowledgment number less one, `peer_initial` its
  // sequence number less one. Nothing when the cookie is none of ours or too old.
  [[nodiscard]] std::optional<Handshake> check(const Endpoints& endpoints, Sequence initial, Sequence peer_initial,
                                               const Options& options, Time now) const;

 private:
  [[nodiscard]] std::uint32_t digest(const Endpoints& endpoints, Sequence peer_initial, std::uint32_t size_index,
                                     std::uint64_t epoch) const;

  SipKey master_;
};

}  // namespace steelyard::tcp

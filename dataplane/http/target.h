// Where a request goes: its target (RFC 9112 section 3.2, RFC 3986) and its authority, from the target or from Host.
#pragma once

#include <string_view>

#include "dataplane/http/framing.h"

namespace steelyard::http {

// What a target in absolute form says beside its path; empty otherwise.
struct TargetOrigin {
  std::string_view authority;
  bool https = false;
};

// Sets target and path; `head.method` is known.
[[nodiscard]] tl::expected<TargetOrigin, Refusal> read_target(std::string_view target, RequestHead& head);

// Sets authority and host.
[[nodiscard]] Verdict read_authority(const TargetOrigin& origin, const KnownFields& known, RequestHead& head);

}  // namespace steelyard::http

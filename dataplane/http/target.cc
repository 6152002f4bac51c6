#include "dataplane/http/target.h"

#include <cstdint>

#include "dataplane/http/characters.h"

namespace steelyard::http {
namespace {

// RFC 3986 has browsers escape these; not all do.
constexpr Characters unescaped{"\"<>\\^`{|}"};
constexpr Characters target_characters = visible.without(Characters{"#"} | unescaped);
constexpr Characters host_characters = letters | digits | Characters{"-._~"};
constexpr Characters ip_literal_characters = hex_digits | Characters{":."};
// RFC 3986 section 3.2.2 allows sub-delims and escapes in names. No name in DNS has them, and not everybody decodes
// them.
constexpr Characters odd_host_characters = host_characters | Characters{"!$&'()*+,;=%"};
constexpr std::size_t max_host_octets = 255;  // RFC 1035 section 2.3.4

struct Authority {
  std::string_view host;
  std::uint32_t port = 0;  // 0: none
};

tl::expected<std::uint32_t, Refusal> read_port(std::string_view text) {
  if (text.size() > 5 || !digits.make_up(text)) {
    return malformed("a malformed port");
  }
  std::uint32_t port = 0;
  for (const char digit : text) {
    port = port * 10 + static_cast<std::uint32_t>(digit - '0');
  }
  if (port > 65'535) {
    return malformed("a port above 65535");
  }
  return port;
}

Verdict check_host(std::string_view host, Tier& tier) {
  if (host.empty()) {
    return malformed("an empty host");  // RFC 9110 section 4.2.1
  }
  if (host.size() > max_host_octets) {
    return malformed("a host's name is too long");
  }
  if (host.front() == '[') {
    const bool address =
        host.size() > 3 && host.back() == ']' && ip_literal_characters.make_up(host.substr(1, host.size() - 2));
    return address ? Verdict{} : malformed("a malformed IPv6 address");
  }
  if (host_characters.make_up(host)) {
    return {};
  }
  worsen(tier, Tier::ambiguous);
  return odd_host_characters.make_up(host) ? Verdict{} : malformed("a character that no host has");
}

// RFC 9110 section 7.2: uri-host [ ":" port ]. Section 4.2.4: userinfo is an error, "likely being used to obscure the
// authority"; "@" is none of a host's characters.
tl::expected<Authority, Refusal> split_authority(std::string_view text, Tier& tier) {
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  Authority authority{.host = text.substr(0, colon)};
  if (const Verdict verdict = check_host(authority.host, tier); !verdict) {
    return tl::unexpected(verdict.error());
  }
  if (colon != std::string_view::npos) {
    const auto port = read_port(text.substr(colon + 1));
    if (!port) {
      return tl::unexpected(port.error());
    }
    authority.port = *port;
  }
  return authority;
}

bool same_authority(const Authority& a, const Authority& b, bool https) {
  const std::uint32_t usual = https ? 443 : 80;
  return same_name(a.host, b.host) && (a.port == 0 ? usual : a.port) == (b.port == 0 ? usual : b.port);
}

Verdict check_characters(std::string_view target, Tier& tier) {
  if (target_characters.make_up(target)) {
    return {};
  }
  worsen(tier, Tier::acceptable);
  for (const char octet : target) {
    if (octet == '#') {
      return malformed("a fragment in the target");  // RFC 9112 section 3.2.1 has none
    }
    if (!visible.has(octet)) {
      return malformed("an octet that no target has");
    }
  }
  return {};
}

// The length of "http://" or "https://", in any case, or 0.
std::size_t scheme_size(std::string_view target) {
  for (const std::string_view scheme : {std::string_view{"http://"}, std::string_view{"https://"}}) {
    if (same_name(target.substr(0, scheme.size()), scheme)) {
      return scheme.size();
    }
  }
  return 0;
}

void set_path(std::string_view target, RequestHead& head) {
  head.target = target;
  head.path = target.substr(0, target.find('?'));
}

}  // namespace

tl::expected<TargetOrigin, Refusal> read_target(std::string_view target, RequestHead& head) {
  head.target = target;
  if (const Verdict verdict = check_characters(target, head.tier); !verdict) {
    return tl::unexpected(verdict.error());
  }
  if (target.front() == '/') {
    set_path(target, head);
    return TargetOrigin{};
  }
  if (target == "*") {  // RFC 9112 section 3.2.4
    set_path(target, head);
    return head.method == Method::options ? tl::expected<TargetOrigin, Refusal>{}
                                          : malformed("an asterisk for a target without OPTIONS");
  }
  const std::size_t scheme = scheme_size(target);
  if (scheme == 0) {
    return malformed("a target that is neither a path nor an http URI");
  }
  const std::size_t path = target.find_first_of("/?", scheme);
  const TargetOrigin origin{.authority = target.substr(scheme, path == std::string_view::npos ? path : path - scheme),
                            .https = scheme == 8};
  if (path == std::string_view::npos) {
    // RFC 9112 section 3.2.1: "/" stands for no path; section 3.2.4: "*" with OPTIONS.
    set_path(head.method == Method::options ? "*" : "/", head);
  } else if (target[path] == '?') {
    head.target = target.substr(path);  // who writes it puts "/" in front
    head.path = "/";
  } else {
    set_path(target.substr(path), head);
  }
  worsen(head.tier, Tier::acceptable);
  return origin;
}

Verdict read_authority(const TargetOrigin& origin, const KnownFields& known, RequestHead& head) {
  // RFC 9112 section 3.2: a 400 for more than one Host, a malformed one, and for none in HTTP/1.1.
  if (known.host.count > 1) {
    return malformed("two Host fields");
  }
  if (known.host.count == 0 && head.version == Version::http_1_1) {
    return malformed("no Host");
  }
  Authority said;
  if (known.host.count == 1) {
    const auto authority = split_authority(known.host.value, head.tier);
    if (!authority) {
      return tl::unexpected(authority.error());
    }
    said = *authority;
    head.authority = known.host.value;
    head.host = said.host;
  }
  if (origin.authority.data() == nullptr) {
    return {};
  }
  const auto authority = split_authority(origin.authority, head.tier);
  if (!authority) {
    return tl::unexpected(authority.error());
  }
  // RFC 9112 section 3.2.2: Host is ignored and written anew from the target. Who has not done so has sent this request
  // elsewhere, or has kept its answer under another name.
  if (known.host.count == 1 && !same_authority(said, *authority, origin.https)) {
    worsen(head.tier, Tier::ambiguous);
  }
  head.authority = origin.authority;
  head.host = authority->host;
  return {};
}

}  // namespace steelyard::http

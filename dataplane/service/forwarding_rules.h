// Forwarding rules of an HTTP listener: domain and URL prefix -> target. Exact domain before the longest wildcard
// before none; then the longest prefix of the path, which is compared octet by octet and not by segments. Domains do
// not care for case, paths do. So domain and URL beat domain alone, and that beats URL alone. Made once by the control
// side, immutable, any thread may ask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/service/ids.h"

namespace steelyard::service {

// As an administrator writes it. At least one of domain and url is not empty; a pair stands once in a listener.
struct ForwardingRule {
  std::string domain;  // lower case; "*.example.org": what is below it, at any depth; empty: any
  std::string url;     // begins with "/"; empty: any
  ListenerId target;
  friend bool operator==(const ForwardingRule&, const ForwardingRule&) = default;
};

class ForwardingRules {
 public:
  explicit ForwardingRules(std::vector<ForwardingRule> rules);

  // The rule for a request: `host` without port (any case; empty: none was said), `path` without query. Nothing: no
  // rule matches. Does not allocate.
  [[nodiscard]] const ForwardingRule* find(std::string_view host, std::string_view path) const;

  [[nodiscard]] std::span<const ForwardingRule> all() const { return rules_; }
  friend bool operator==(const ForwardingRules& a, const ForwardingRules& b) { return a.rules_ == b.rules_; }

 private:
  std::vector<ForwardingRule> rules_;
};

}  // namespace steelyard::service

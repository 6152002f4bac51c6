// Forwarding rules of an HTTP listener: domain and URL prefix -> target. Exact domain before the longest wildcard
// before none; then the longest prefix of the path, which is compared octet by octet and not by segments. Domains do
// not care for case, paths do. So domain and URL beat domain alone, and that beats URL alone.
//
// That is one order of all rules, and the first one in it that matches is taken. So a domain whose URLs all do not
// match is as if it were not there: the request goes on to the next wildcard, and to the rules without domain at last.
// An administrator who wants it otherwise writes the domain's own rule without URL.
//
// Layout: a hash table of domains (domain_table.h) tells those of a host, the most specific one first, and each has its
// range of one sorted array of URLs (sorted_texts.h). A binary search for URLs and not a hash of every prefix: that
// would be a probe for each length that some URL has, and URLs have many. A hash for domains, because there are as many
// of them as an administrator has customers, and a search would miss the caches a dozen times.
//
// 10,000 rules (bench/forwarding_rules_benchmark.cc, processor time on a busy machine): 0.11 to 0.13 us for as many
// domains, 0.13 to 0.18 us for URLs of one domain, 0.5 to 0.6 us for a name of 113 labels. With all of it pushed out of
// the second cache, 4 MB of other memory having been written since the last lookup, 0.85 to 1.1 us for either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/service/domain_table.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/sorted_texts.h"

namespace steelyard::service {

// As an administrator writes it. At least one of domain and url is not empty; a pair stands once in a listener.
struct ForwardingRule {
  std::string domain;  // "*.example.org": what is below it, at any depth; empty: any
  std::string url;     // begins with "/"; empty: any
  ListenerId target;
  friend bool operator==(const ForwardingRule&, const ForwardingRule&) = default;
};

// Made once by the control side, immutable, any thread may ask.
class ForwardingRules {
 public:
  explicit ForwardingRules(std::vector<ForwardingRule> rules);

  // The rule for a request: `host` without port (any case, a dot at the end or none; empty: none was said), `path`
  // without query, as it came: nothing is decoded. Nothing: no rule matches. A host that is no name - too long (RFC
  // 1035 section 2.3.4), an empty label, a control character - matches rules without domain. Does not allocate.
  [[nodiscard]] const ForwardingRule* find(std::string_view host, std::string_view path) const;

  [[nodiscard]] std::span<const ForwardingRule> all() const { return rules_; }
  friend bool operator==(const ForwardingRules& a, const ForwardingRules& b) { return a.rules_ == b.rules_; }

 private:
  std::vector<ForwardingRule> rules_;
  DomainTable domains_;                      // a domain's value is its place in urls_of_
  std::vector<SortedTexts::Range> urls_of_;  // ranges of urls_; the last one is that of rules without domain
  SortedTexts urls_;                         // a URL's value is its place in rules_
};

}  // namespace steelyard::service

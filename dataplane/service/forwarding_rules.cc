#include "dataplane/service/forwarding_rules.h"

#include <map>
#include <utility>

namespace steelyard::service {

ForwardingRules::ForwardingRules(std::vector<ForwardingRule> rules) : rules_(std::move(rules)) {
  using ByUrl = std::map<std::string_view, std::uint32_t>;  // places in rules_, in the order of their octets
  std::map<std::string, ByUrl> by_domain;
  ByUrl anywhere;
  for (std::uint32_t place = 0; place < rules_.size(); ++place) {
    const ForwardingRule& rule = rules_[place];
    const std::string key = DomainTable::key_of(rule.domain);
    if (rule.domain.empty()) {
      anywhere.emplace(rule.url, place);
    } else if (!key.empty()) {
      by_domain[key].emplace(rule.url, place);
    }
  }
  const auto add = [this](const ByUrl& by_url) {
    std::vector<SortedTexts::Source> sorted;
    for (const auto& [url, place] : by_url) {
      sorted.push_back({url, place});
    }
    urls_of_.push_back(urls_.add(sorted));
  };
  std::vector<std::string> domains;
  for (const auto& [domain, by_url] : by_domain) {
    domains.push_back(domain);
    add(by_url);
  }
  add(anywhere);
  domains_ = DomainTable(domains);
}

const ForwardingRule* ForwardingRules::find(std::string_view host, std::string_view path) const {
  DomainTable::Walk walk(domains_, host);
  std::uint32_t domain = DomainTable::none;
  do {
    domain = walk.next();
    const SortedTexts::Range urls = domain == DomainTable::none ? urls_of_.back() : urls_of_[domain];
    const std::uint32_t rule = urls_.longest(urls, path);
    if (rule != SortedTexts::none) {
      return &rules_[rule];
    }
  } while (domain != DomainTable::none);
  return nullptr;
}

}  // namespace steelyard::service

// Forwarding rules and requests of any octets against the definition: of all rules that match, the one with the most
// specific domain, and of these the one with the longest URL.
//
// Input: rules as "domain|url" lines, an empty line, then requests as "host|path" lines.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/service/forwarding_rules.h"
#include "tests/fuzz/input.h"

namespace {

using namespace steelyard::service;
using steelyard::fuzz::require;

std::string_view take_until(std::string_view& text, char end) {
  const std::size_t length = std::min(text.find(end), text.size());
  const std::string_view taken = text.substr(0, length);
  text.remove_prefix(std::min(length + 1, text.size()));
  return taken;
}

// In lower case and without a dot at its end; nothing: no name.
std::optional<std::string> name_of(std::string_view host) {
  if (host.ends_with('.')) {
    host.remove_suffix(1);
  }
  std::string name(host);
  for (char& octet : name) {
    octet = octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet - 'A' + 'a') : octet;
  }
  const bool control = std::ranges::any_of(name, [](char octet) { return static_cast<unsigned char>(octet) < ' '; });
  if (name.empty() || name.size() > 253 || control || name.front() == '.' || name.back() == '.' ||
      name.find("..") != std::string::npos) {
    return std::nullopt;
  }
  return name;
}

// Of a rule's domain for a host; nothing: it does not match.
std::optional<std::size_t> specificity(const std::string& domain, const std::optional<std::string>& host) {
  if (domain.empty()) {
    return 0;
  }
  const bool wildcard = domain.starts_with("*.");
  const auto name = name_of(std::string_view(domain).substr(wildcard ? 2 : 0));
  if (!name || !host) {
    return std::nullopt;
  }
  if (!wildcard) {
    return *name == *host ? std::optional(std::size_t{1'000}) : std::nullopt;
  }
  const std::string below = "." + *name;
  return host->size() > below.size() && host->ends_with(below) ? std::optional(below.size()) : std::nullopt;
}

const ForwardingRule* defined(std::span<const ForwardingRule> rules, std::string_view host, std::string_view path) {
  const ForwardingRule* best = nullptr;
  std::pair<std::size_t, std::size_t> best_rank;
  const auto name = name_of(host);
  for (const ForwardingRule& rule : rules) {
    const auto domain = specificity(rule.domain, name);
    if (!domain || !path.starts_with(rule.url)) {
      continue;
    }
    const std::pair rank(*domain, rule.url.size());
    if (best == nullptr || rank > best_rank) {
      best = &rule;
      best_rank = rank;
    }
  }
  return best;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<ForwardingRule> list;
  while (!text.empty() && list.size() < 1'000) {
    std::string_view line = take_until(text, '\n');
    if (line.empty()) {
      break;
    }
    ForwardingRule rule;
    rule.domain = take_until(line, '|');
    rule.url = line;
    list.push_back(std::move(rule));
  }
  const ForwardingRules rules(std::move(list));
  for (int requests = 0; !text.empty() && requests < 100; ++requests) {
    std::string_view path = take_until(text, '\n');
    const std::string_view host = take_until(path, '|');
    require(rules.find(host, path) == defined(rules.all(), host, path));
  }
  return 0;
}

// Forwarding rules: who beats whom, hostile hosts and paths, and random rules against the definition.
#include "dataplane/service/forwarding_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steelyard::service {
namespace {

// Targets are numbered from 1 in the order of the rules.
ForwardingRules rules_of(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  std::vector<ForwardingRule> rules;
  for (const auto& [domain, url] : pairs) {
    rules.push_back({std::string(domain), std::string(url), {static_cast<std::uint16_t>(rules.size() + 1)}});
  }
  return ForwardingRules(std::move(rules));
}
// 0: no rule.
unsigned target_of(const ForwardingRules& rules, std::string_view host, std::string_view path) {
  const ForwardingRule* rule = rules.find(host, path);
  return rule == nullptr ? 0U : rule->target.value;
}

TEST(ForwardingRules, WithoutRulesNothingMatches) {
  const ForwardingRules rules({});
  EXPECT_EQ(rules.find("example.org", "/"), nullptr);
  EXPECT_EQ(rules.find("", ""), nullptr);
}

TEST(ForwardingRules, AnExactDomainBeatsTheLongestWildcardAndThatBeatsNone) {
  const auto rules =
      rules_of({{"", "/"}, {"*.org", ""}, {"*.example.org", ""}, {"www.example.org", ""}, {"*.www.example.org", ""}});
  EXPECT_EQ(target_of(rules, "www.example.org", "/"), 4U);
  EXPECT_EQ(target_of(rules, "api.example.org", "/"), 3U);
  EXPECT_EQ(target_of(rules, "deep.below.example.org", "/"), 3U) << "at any depth";
  EXPECT_EQ(target_of(rules, "a.www.example.org", "/"), 5U);
  EXPECT_EQ(target_of(rules, "example.org", "/"), 2U) << "a wildcard is what is below its domain";
  EXPECT_EQ(target_of(rules, "org", "/"), 1U);
  EXPECT_EQ(target_of(rules, "example.com", "/"), 1U);
  EXPECT_EQ(target_of(rules, "", "/"), 1U);
}

TEST(ForwardingRules, AWildcardEndsAtALabel) {
  const auto rules = rules_of({{"*.example.org", ""}, {"example.org", ""}});
  EXPECT_EQ(target_of(rules, "notexample.org", "/"), 0U);
  EXPECT_EQ(target_of(rules, "www.notexample.org", "/"), 0U);
  EXPECT_EQ(target_of(rules, "example.org.evil.com", "/"), 0U);
  EXPECT_EQ(target_of(rules, "xample.org", "/"), 0U);
}

TEST(ForwardingRules, TheLongestPrefixOfThePathBeatsShorterOnes) {
  const auto rules = rules_of({{"", "/"}, {"", "/a"}, {"", "/a/b"}, {"", "/a/b/c"}, {"", "/ab"}});
  EXPECT_EQ(target_of(rules, "x", "/z"), 1U);
  EXPECT_EQ(target_of(rules, "x", "/a"), 2U);
  EXPECT_EQ(target_of(rules, "x", "/a/"), 2U);
  EXPECT_EQ(target_of(rules, "x", "/a/c"), 2U);
  EXPECT_EQ(target_of(rules, "x", "/a/b/d"), 3U);
  EXPECT_EQ(target_of(rules, "x", "/a/b/c/d/e"), 4U);
  EXPECT_EQ(target_of(rules, "x", "/abc"), 5U);
}

TEST(ForwardingRules, PrefixesAreOfOctetsNotOfSegments) {
  const auto rules = rules_of({{"", "/app"}});
  EXPECT_EQ(target_of(rules, "x", "/application/x"), 1U);
  EXPECT_EQ(target_of(rules, "x", "/ap"), 0U);
}

TEST(ForwardingRules, DomainsDoNotCareForCaseAndPathsDo) {
  const auto rules = rules_of({{"Example.ORG", "/Path"}});
  EXPECT_EQ(target_of(rules, "eXAMPLE.oRG", "/Path"), 1U);
  EXPECT_EQ(target_of(rules, "example.org", "/path"), 0U);
}

TEST(ForwardingRules, DomainAndUrlBeatDomainAloneAndThatBeatsUrlAlone) {
  const auto rules = rules_of({{"", "/images/large"}, {"example.org", ""}, {"example.org", "/images"}});
  EXPECT_EQ(target_of(rules, "example.org", "/images/large/1"), 3U);
  EXPECT_EQ(target_of(rules, "example.org", "/texts"), 2U);
  EXPECT_EQ(target_of(rules, "example.com", "/images/large/1"), 1U);
}

TEST(ForwardingRules, ADomainWhoseUrlsDoNotMatchGivesWayToTheNextOne) {
  const auto rules =
      rules_of({{"", "/c"}, {"*.example.org", "/b"}, {"*.www.example.org", "/a"}, {"a.www.example.org", "/x"}});
  EXPECT_EQ(target_of(rules, "a.www.example.org", "/x"), 4U);
  EXPECT_EQ(target_of(rules, "a.www.example.org", "/a"), 3U);
  EXPECT_EQ(target_of(rules, "a.www.example.org", "/b"), 2U);
  EXPECT_EQ(target_of(rules, "a.www.example.org", "/c"), 1U);
  EXPECT_EQ(target_of(rules, "a.www.example.org", "/d"), 0U) << "then the listener's group";
}

TEST(ForwardingRules, OneDotAtTheEndOfAHostOrADomainIsNothing) {
  const auto rules = rules_of({{"example.org", ""}, {"*.example.com.", ""}});
  EXPECT_EQ(target_of(rules, "example.org.", "/"), 1U);
  EXPECT_EQ(target_of(rules, "www.example.com", "/"), 2U);
  EXPECT_EQ(target_of(rules, "www.example.com.", "/"), 2U);
  EXPECT_EQ(target_of(rules, "example.org..", "/"), 0U);
}

TEST(ForwardingRules, WhatIsNoNameMatchesRulesWithoutDomain) {
  const auto rules = rules_of({{"", "/"}, {"*.example.org", ""}, {"example.org", ""}});
  const std::string nul("a\0.example.org", 14);
  const std::string behind_nul("x\0example.org", 13);
  const std::string before_nul("example.org\0", 12);
  for (const std::string& host :
       {std::string("."), std::string(".."), std::string(".example.org"), std::string("a..example.org"),
        std::string("..example.org"), nul, behind_nul, before_nul, std::string("a\n.example.org"),
        std::string(20'000, 'a') + ".example.org", std::string(20'000, '.') + "example.org"}) {
    EXPECT_EQ(target_of(rules, host, "/"), 1U) << host;
    EXPECT_EQ(target_of(rules, host, "*"), 0U);
  }
  std::string many_labels;
  while (many_labels.size() < 240) {
    many_labels += "a.";
  }
  EXPECT_EQ(target_of(rules, many_labels + "example.org", "/"), 2U);
  EXPECT_EQ(target_of(rules, std::string(241, 'a') + ".example.org", "/"), 2U) << "253 octets";
  EXPECT_EQ(target_of(rules, std::string(241, 'a') + ".example.org.", "/"), 2U);
  EXPECT_EQ(target_of(rules, std::string(242, 'a') + ".example.org", "/"), 1U);
}

TEST(ForwardingRules, ADomainThatIsNoNameIsNeverMatched) {
  const auto rules = rules_of({{"a..b", ""}, {"*.", ""}, {".", ""}, {"*", ""}, {std::string(300, 'a'), ""}});
  for (const char* host : {"a..b", "a.b", "", ".", "b", "www.b"}) {
    EXPECT_EQ(target_of(rules, host, "/"), 0U) << host;
  }
  EXPECT_EQ(target_of(rules, std::string(300, 'a'), "/"), 0U);
}

TEST(ForwardingRules, AddressesAndOctetsBeyondAsciiAreNamesToo) {
  const auto rules = rules_of({{"[2001:db8::1]", ""},
                               {"192.0.2.1", ""},
                               {"b\xc3\xbc"
                                "cher.example",
                                ""},
                               {"", "/\xff"}});
  EXPECT_EQ(target_of(rules, "[2001:DB8::1]", "/"), 1U);
  EXPECT_EQ(target_of(rules, "192.0.2.1", "/"), 2U);
  EXPECT_EQ(target_of(rules,
                      "b\xc3\xbc"
                      "cher.example",
                      "/"),
            3U);
  EXPECT_EQ(target_of(rules, "", "/\xff\xff"), 4U);
  EXPECT_EQ(target_of(rules, "", "/\x7f"), 0U);
}

TEST(ForwardingRules, OfEqualPairsTheFirstCounts) {
  const auto rules = rules_of({{"example.org", "/"}, {"EXAMPLE.org.", "/"}});
  EXPECT_EQ(target_of(rules, "example.org", "/"), 1U);
}

TEST(ForwardingRules, CopiesAnswerByThemselvesAndAreEqual) {
  std::optional<ForwardingRules> rules = rules_of({{"example.org", "/a"}});
  const ForwardingRules copy = *rules;
  EXPECT_EQ(copy, *rules);
  EXPECT_NE(copy, rules_of({{"example.org", "/b"}}));
  rules.reset();
  EXPECT_EQ(target_of(copy, "example.org", "/a"), 1U);
}

// --- the definition ----------------------------------------------------------------------------------------------

// How specific a rule's domain is for a host: nothing when it does not match.
std::optional<std::size_t> specificity(const std::string& domain, const std::string& host) {
  if (domain.empty()) {
    return 0;
  }
  if (domain.starts_with("*.")) {
    const std::string below = domain.substr(1);
    return host.size() > below.size() && host.ends_with(below) ? std::optional(below.size()) : std::nullopt;
  }
  return domain == host ? std::optional(std::size_t{10'000}) : std::nullopt;
}

unsigned defined_target(const std::vector<ForwardingRule>& rules, const std::string& host, const std::string& path) {
  std::optional<std::pair<std::size_t, std::size_t>> best;
  unsigned target = 0;
  for (const ForwardingRule& rule : rules) {
    const auto domain = specificity(rule.domain, host);
    if (!domain || !path.starts_with(rule.url)) {
      continue;
    }
    const std::pair rank(*domain, rule.url.size());
    if (!best || rank > *best) {
      best = rank;
      target = rule.target.value;
    }
  }
  return target;
}

// Few letters and short labels, so that names and paths often begin and end alike.
class RandomTexts {
 public:
  explicit RandomTexts(unsigned seed) : random_(seed) {}
  unsigned below(unsigned count) { return static_cast<unsigned>(random_() % count); }
  std::string domain() {
    std::string name;
    for (unsigned label = below(4) + 1; label > 0; --label) {
      name += (name.empty() ? "" : ".") + letters(1 + below(2));
    }
    return name;
  }
  std::string path() {
    std::string path = "/" + letters(below(4));
    for (unsigned more = below(3); more > 0; --more) {
      path += "/" + letters(below(12));
    }
    return path;
  }

 private:
  std::string letters(unsigned count) {
    std::string text;
    while (text.size() < count) {
      text += static_cast<char>('a' + below(2));
    }
    return text;
  }
  std::mt19937 random_;
};

TEST(ForwardingRules, AgreeWithTheDefinitionForRandomRules) {
  RandomTexts texts(20261126);
  unsigned matched = 0;
  unsigned asked = 0;
  for (const unsigned count : {1U, 2U, 5U, 30U, 300U, 2'000U}) {
    for (int round = 0; round < (count > 100 ? 3 : 60); ++round) {
      std::vector<ForwardingRule> rules;
      std::set<std::pair<std::string, std::string>> taken;
      for (unsigned rule = 0; rule < count; ++rule) {
        const unsigned kind = texts.below(5);
        std::string domain = kind == 0 ? "" : (kind < 3 ? "*." : "") + texts.domain();
        std::string url = kind != 0 && texts.below(3) == 0 ? "" : texts.path();
        if (taken.emplace(domain, url).second) {
          rules.push_back({std::move(domain), std::move(url), {static_cast<std::uint16_t>(rule + 1)}});
        }
      }
      const ForwardingRules made(rules);
      for (int tries = 0; tries < 300; ++tries) {
        const std::string host = texts.below(20) == 0 ? "" : texts.domain();
        const std::string path = texts.path();
        const unsigned expected = defined_target(rules, host, path);
        matched += expected != 0 ? 1U : 0U;
        ++asked;
        ASSERT_EQ(target_of(made, host, path), expected) << host << path << " of " << rules.size() << " rules";
      }
    }
  }
  EXPECT_GT(matched, asked / 4);
  EXPECT_LT(matched, asked);
}

TEST(ForwardingRules, TenThousandRulesAreAllFound) {
  std::vector<ForwardingRule> rules;
  for (unsigned rule = 0; rule < 10'000; ++rule) {
    const std::string domain = "host" + std::to_string(rule / 10) + ".example.org";
    rules.push_back({rule % 3 == 0 ? "*." + domain : domain,
                     "/service/" + std::to_string(rule),
                     {static_cast<std::uint16_t>(rule + 1)}});
  }
  const ForwardingRules made(rules);
  for (const ForwardingRule& rule : rules) {
    const std::string host = rule.domain.starts_with('*') ? "x" + rule.domain.substr(1) : rule.domain;
    ASSERT_EQ(target_of(made, host, rule.url + "/x"), rule.target.value);
  }
  EXPECT_EQ(made.all().size(), 10'000U);
}

}  // namespace
}  // namespace steelyard::service

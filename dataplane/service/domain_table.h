// The domains of a listener's forwarding rules: which of them a host is one of, the most specific one first. Exact
// names and wildcards stand in one hash table, backwards ("www.example.org" as "gro.elpmaxe.www", "*.example.org" as
// "gro.elpmaxe."), so that one pass over the host hashes everything that it may be: the whole, and each beginning that
// ends with a label, as far as some wildcard has its length.
//
// Like ListenerIndex: the keys come from the configuration, so a client cannot choose which ones collide; a probe for a
// foreign name ends at the first empty slot of a table at a load of at most one half. What he can do is to send the
// longest name of the most labels, each of which is as long as some wildcard.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace steelyard::service {

// Immutable; any thread.
class DomainTable {
 public:
  static constexpr std::uint32_t none = 0xffffffffU;
  static constexpr std::size_t longest_name = 253;  // RFC 1035 section 2.3.4, written as text

  // A domain as the table knows it: backwards, in lower case, without a dot at its end. Empty: it is no domain, for it
  // is too long or has an empty label or a control character. Equal domains have equal keys.
  [[nodiscard]] static std::string key_of(std::string_view domain);

  DomainTable() : DomainTable(std::span<const std::string>{}) {}
  // Keys are distinct and not empty; a key's value is its place.
  explicit DomainTable(std::span<const std::string> keys);

  // The domains of a host: an exact one, then wildcards, the longest first. The table outlives it.
  class Walk {
   public:
    Walk(const DomainTable& table, std::string_view host);
    // None: that was all.
    [[nodiscard]] std::uint32_t next();

   private:
    struct Beginning {
      std::uint64_t hash;
      std::size_t length;
    };
    const DomainTable& table_;
    std::array<char, longest_name> name_;
    std::array<Beginning, longest_name / 2 + 1> left_;  // the longest is the last
    std::size_t count_ = 0;
  };

 private:
  struct Slot {
    std::uint32_t value = none;  // none: empty
    std::uint32_t tag = 0;       // bits of the hash
    std::uint32_t begin = 0;     // in texts_
    std::uint32_t length = 0;
  };
  [[nodiscard]] std::uint32_t find(std::string_view key, std::uint64_t hash) const;

  std::vector<Slot> slots_;
  std::string texts_;
  std::bitset<longest_name + 1> wildcard_lengths_;
};

}  // namespace steelyard::service

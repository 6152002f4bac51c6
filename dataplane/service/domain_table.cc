#include "dataplane/service/domain_table.h"

#include <algorithm>
#include <bit>
#include <optional>

namespace steelyard::service {
namespace {

// FNV-1a, octet by octet, since every beginning of a name has to have its hash; mixed when it is used.
constexpr std::uint64_t first_hash = 0xcbf29ce484222325U;
constexpr std::uint64_t next_hash(std::uint64_t hash, char octet) {
  return (hash ^ static_cast<unsigned char>(octet)) * 0x100000001b3U;
}
constexpr std::uint64_t mixed(std::uint64_t hash) {
  return (hash ^ hash >> 32U) * 0x9e3779b97f4a7c15U;
}
constexpr std::uint32_t tag_of(std::uint64_t mixed_hash) {
  return static_cast<std::uint32_t>(mixed_hash);
}

// Calls `write` with a name's octets from its end to its beginning, in lower case. How many; nothing: it is no name.
template <class Write>
std::optional<std::size_t> read_backwards(std::string_view name, const Write& write) {
  if (name.ends_with('.')) {
    name.remove_suffix(1);
  }
  if (name.empty() || name.size() > DomainTable::longest_name) {
    return std::nullopt;
  }
  char before = '.';
  for (std::size_t place = 0; place < name.size(); ++place) {
    char octet = name[name.size() - 1 - place];
    if ((octet == '.' && before == '.') || static_cast<unsigned char>(octet) < ' ') {
      return std::nullopt;
    }
    octet = octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet | 0x20) : octet;
    write(place, octet);
    before = octet;
  }
  return before == '.' ? std::nullopt : std::optional(name.size());
}

}  // namespace

std::string DomainTable::key_of(std::string_view domain) {
  const bool wildcard = domain.starts_with("*.");
  std::string key;
  if (!read_backwards(wildcard ? domain.substr(2) : domain, [&key](std::size_t, char octet) { key += octet; })) {
    return {};
  }
  if (wildcard) {
    key += '.';
  }
  return key;
}

DomainTable::DomainTable(std::span<const std::string> keys) : slots_(std::bit_ceil(2 * keys.size() + 1)) {
  for (const std::string& key : keys) {
    std::uint64_t hash = first_hash;
    for (const char octet : key) {
      hash = next_hash(hash, octet);
    }
    hash = mixed(hash);
    std::size_t slot = hash >> 32U & (slots_.size() - 1);
    while (slots_[slot].value != none) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    slots_[slot] = {static_cast<std::uint32_t>(&key - keys.data()), tag_of(hash),
                    static_cast<std::uint32_t>(texts_.size()), static_cast<std::uint32_t>(key.size())};
    texts_ += key;
    if (key.back() == '.' && key.size() <= longest_name) {
      wildcard_lengths_.set(key.size());
    }
  }
}

std::uint32_t DomainTable::find(std::string_view key, std::uint64_t hash) const {
  hash = mixed(hash);
  for (std::size_t place = hash >> 32U;; ++place) {
    const Slot& slot = slots_[place & (slots_.size() - 1)];
    if (slot.value == none) {
      return none;
    }
    if (slot.tag == tag_of(hash) && std::string_view(texts_.data() + slot.begin, slot.length) == key) {
      return slot.value;
    }
  }
}

DomainTable::Walk::Walk(const DomainTable& table, std::string_view host) : table_(table) {
  std::uint64_t hash = first_hash;
  const auto length = read_backwards(host, [&](std::size_t place, char octet) {
    name_[place] = octet;
    hash = next_hash(hash, octet);
    if (octet == '.' && table_.wildcard_lengths_[place + 1]) {
      left_[count_++] = {hash, place + 1};
    }
  });
  if (!length) {
    count_ = 0;
    return;
  }
  left_[count_++] = {hash, *length};
}

std::uint32_t DomainTable::Walk::next() {
  while (count_ != 0) {
    const Beginning& beginning = left_[--count_];
    const std::uint32_t found = table_.find({name_.data(), beginning.length}, beginning.hash);
    if (found != none) {
      return found;
    }
  }
  return none;
}

}  // namespace steelyard::service

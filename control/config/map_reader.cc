#include "control/config/map_reader.h"

#include <algorithm>
#include <unordered_map>

namespace steelyard::control::config {

MapReader::MapReader(const Node& node, std::string_view what, Report& report)
    : node_(node), what_(what), report_(report) {
  if (node.kind != Node::Kind::map) {
    report.error(node.at, std::string(what) + " is " + shown(node) + "; allowed: a mapping (`key: value` lines)");
    return;
  }
  entries_.reserve(node.children.size() / 2);
  for (std::size_t index = 0; index + 1 < node.children.size(); index += 2) {
    const Node& key = node.children[index];
    if (key.kind != Node::Kind::scalar) {
      report.error(key.at, "a key of " + std::string(what) + " is " + shown(key) + "; allowed: a word");
      continue;
    }
    entries_.push_back({&key, &node.children[index + 1]});
  }
  report_duplicates();
}

void MapReader::report_duplicates() {
  std::unordered_map<std::string_view, const Node*> seen;
  seen.reserve(entries_.size());
  std::erase_if(entries_, [&](const Entry& entry) {
    const auto [first, is_new] = seen.try_emplace(entry.key->scalar, entry.key);
    if (!is_new) {
      report_.error(entry.key->at, "duplicate key " + in_quotes(entry.key->scalar) + " in " + std::string(what_) +
                                       "; it already stands in line " + std::to_string(first->second->at.line));
    }
    return !is_new;
  });
}

const MapReader::Entry* MapReader::entry_of(std::string_view key) const {
  const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.key->scalar == key; });
  return found == entries_.end() ? nullptr : &*found;
}

Position MapReader::position_of(std::string_view key) const {
  const Entry* entry = entry_of(key);
  return entry == nullptr ? node_.at : entry->value->at;
}

const Node* MapReader::find(std::string_view key) {
  known_.push_back(key);
  const Entry* entry = entry_of(key);
  if (entry == nullptr) {
    return nullptr;
  }
  if (entry->value->kind == Node::Kind::null) {
    report_.error(entry->key->at, name_of(key) + " has no value; write one or leave the key out");
    return nullptr;
  }
  return entry->value;
}

const Node* MapReader::require(std::string_view key) {
  const Node* value = find(key);
  if (value == nullptr && node_.kind == Node::Kind::map && !has(key)) {
    report_.error(node_.at, name_of(key) + " is missing in " + std::string(what_) + "; it has no default");
  }
  return value;
}

std::span<const Node> MapReader::list(std::string_view key) {
  const Node* value = find(key);
  if (value == nullptr) {
    return {};
  }
  if (value->kind != Node::Kind::sequence) {
    report_.error(value->at, name_of(key) + " is " + shown(*value) + "; allowed: a list");
    return {};
  }
  return value->children;
}

bool MapReader::seconds(std::string_view key, std::chrono::seconds& out, Range allowed) {
  return assign(find(key), out, [&](const Node& node) { return read_integer(node, name_of(key), allowed, report_); });
}

bool MapReader::boolean(std::string_view key, bool& out) {
  return assign(find(key), out, [&](const Node& node) { return read_bool(node, name_of(key), report_); });
}

bool MapReader::required_name(std::string_view key, std::string& out) {
  return assign(require(key), out, [&](const Node& node) { return read_name(node, name_of(key), report_); });
}

bool MapReader::name(std::string_view key, std::string& out) {
  return assign(find(key), out, [&](const Node& node) { return read_name(node, name_of(key), report_); });
}

void MapReader::has_no_effect(std::string_view key, std::string_view why) {
  if (const Entry* entry = entry_of(key)) {
    report_.warning(entry->key->at, name_of(key) + " has no effect here; " + std::string(why));
  }
}

void MapReader::has_no_place(std::string_view key, std::string_view why) {
  if (const Entry* entry = entry_of(key)) {
    known_.push_back(key);
    report_.error(entry->key->at, name_of(key) + " has no place here; " + std::string(why));
  }
}

void MapReader::finish() {
  for (const Entry& entry : entries_) {
    if (std::ranges::find(known_, entry.key->scalar) != known_.end()) {
      continue;
    }
    if (report_.is_full()) {
      report_.error(entry.key->at, {});
      continue;
    }
    const std::string_view near = nearest_word(entry.key->scalar, known_);
    report_.error(entry.key->at,
                  "unknown key " + in_quotes(entry.key->scalar) + " in " + std::string(what_) + "; " +
                      (near.empty() ? "allowed: " + word_list(known_) : "did you mean " + name_of(near) + "?"));
  }
}

}  // namespace steelyard::control::config

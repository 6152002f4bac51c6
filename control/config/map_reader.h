// Reads one YAML mapping key by key. Asking for a key makes it known; finish() then reports every key of the file that
// nobody asked for, with the nearest known one. So the code that reads a mapping is the list of its keys.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/diagnostic.h"
#include "control/config/scalars.h"
#include "control/config/yaml_tree.h"

namespace steelyard::control::config {

// Refers to the node and the report: both must outlive it. Keys are string literals. One thread.
class MapReader {
 public:
  // `what` names the mapping in messages: "a listener". Reports a node that is no mapping (every key is absent then)
  // and keys that stand twice (the first one counts).
  MapReader(const Node& node, std::string_view what, Report& report);

  // The value of a key; null: absent, or given without a value, which is reported.
  const Node* find(std::string_view key);
  // The same, and an absent key is reported.
  const Node* require(std::string_view key);
  // The elements of a list; empty when it is absent or no list, which is reported.
  std::span<const Node> list(std::string_view key);

  // The readers leave `out` alone when the key is absent or its value was reported. They return whether they set it.
  template <class Integer>
  bool integer(std::string_view key, Integer& out, Range allowed) {
    return assign(find(key), out, [&](const Node& node) { return read_integer(node, name_of(key), allowed, report_); });
  }
  bool seconds(std::string_view key, std::chrono::seconds& out, Range allowed);
  bool boolean(std::string_view key, bool& out);
  template <class Value, std::size_t count>
  bool choice(std::string_view key, Value& out, const std::array<Choice<Value>, count>& choices,
              std::span<const std::string_view> later = {}) {
    return choice(find(key), key, out, choices, later);
  }
  template <class Value, std::size_t count>
  bool required_choice(std::string_view key, Value& out, const std::array<Choice<Value>, count>& choices,
                       std::span<const std::string_view> later = {}) {
    return choice(require(key), key, out, choices, later);
  }
  bool required_name(std::string_view key, std::string& out);
  bool name(std::string_view key, std::string& out);

  [[nodiscard]] bool has(std::string_view key) const { return entry_of(key) != nullptr; }
  // Where the value of a key stands; the mapping's own place when the key is absent.
  [[nodiscard]] Position position_of(std::string_view key) const;

  // Warns when the key stands in the file.
  void has_no_effect(std::string_view key, std::string_view why);
  // Refuses the key when it stands in the file: it is known elsewhere.
  void has_no_place(std::string_view key, std::string_view why);

  // Reports the unknown keys. Call it last.
  void finish();

  [[nodiscard]] Position at() const { return node_.at; }
  [[nodiscard]] Report& report() const { return report_; }
  // "`key`".
  [[nodiscard]] static std::string name_of(std::string_view key) { return '`' + std::string(key) + '`'; }

 private:
  struct Entry {
    const Node* key = nullptr;
    const Node* value = nullptr;
  };

  template <class Out, class Read>
  static bool assign(const Node* node, Out& out, Read read) {
    if (node == nullptr) {
      return false;
    }
    const auto value = read(*node);
    if (!value) {
      return false;
    }
    out = static_cast<Out>(*value);
    return true;
  }

  template <class Value, std::size_t count>
  bool choice(const Node* node, std::string_view key, Value& out, const std::array<Choice<Value>, count>& choices,
              std::span<const std::string_view> later) {
    if (node == nullptr) {
      return false;
    }
    std::array<std::string_view, count> words;
    for (std::size_t index = 0; index < count; ++index) {
      words[index] = choices[index].word;
    }
    const auto chosen = read_word(*node, name_of(key), words, later, report_);
    if (chosen) {
      out = choices[*chosen].value;
    }
    return chosen.has_value();
  }

  void report_duplicates();
  [[nodiscard]] const Entry* entry_of(std::string_view key) const;

  const Node& node_;
  std::string_view what_;
  Report& report_;
  std::vector<Entry> entries_;  // in the order of the file, without the repeated ones
  std::vector<std::string_view> known_;
};

}  // namespace steelyard::control::config

#include "control/config/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <istream>
#include <streambuf>
#include <utility>

namespace steelyard::control::config {

namespace {

Position position_of(const YAML::Mark& mark) {
  return {static_cast<std::uint32_t>(std::max(mark.line, 0)) + 1,
          static_cast<std::uint32_t>(std::max(mark.column, 0)) + 1};
}

// Leaves yaml-cpp's parser: the only way out of an event handler. Caught in read_yaml().
struct Refusal : std::exception {
  Refusal(Position where, std::string why) : at(where), message(std::move(why)) {}
  Position at;
  std::string message;
};

// An istream's view of text that somebody else owns, handed out in pieces as long as the reader makes progress.
class PacedBuffer final : public std::streambuf {
 public:
  explicit PacedBuffer(std::string_view text) : text_(text) {}

  // A value that starts at `mark` has been delivered.
  void delivered(const YAML::Mark& mark) {
    last_ = mark;
    delivered_ = std::max(delivered_, static_cast<std::size_t>(std::max(mark.pos, 0)));
  }

 private:
  int_type underflow() override {
    constexpr std::size_t piece = 65536;
    if (given_ > delivered_ + max_lookahead_bytes) {
      throw Refusal(position_of(last_), "more than " + std::to_string(max_lookahead_bytes >> 20) +
                                            " MiB follow that YAML cannot split into values; write lists and mappings "
                                            "in block style (one `key: value` or `- entry` per line)");
    }
    if (given_ == text_.size()) {
      return traits_type::eof();
    }
    // streambuf wants mutable pointers, but a get area is never written to.
    char* begin = const_cast<char*>(text_.data()) + given_;
    const std::size_t length = std::min(piece, text_.size() - given_);
    given_ += length;
    setg(begin, begin, begin + length);
    return traits_type::to_int_type(*begin);
  }

  std::string_view text_;
  std::size_t given_ = 0;
  std::size_t delivered_ = 0;
  YAML::Mark last_;
};

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(PacedBuffer& source) : source_(source) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw Refusal(position_of(mark), "this stands after the end of the first YAML document; allowed: one document");
    }
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    append(mark, {.kind = Node::Kind::null, .plain = true, .at = {}, .scalar = {}, .children = {}});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal(position_of(mark), "YAML aliases (*name) are not allowed; write the value out");
  }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark, 1); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    append(mark, {.kind = Node::Kind::scalar, .plain = tag == "?", .at = {}, .scalar = value, .children = {}});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::sequence, mark, tag, anchor);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { open_.pop_back(); }

  [[nodiscard]] Node take() { return std::move(root_); }

 private:
  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) {
      throw Refusal(position_of(mark), "YAML anchors (&name) are not allowed; write the value out");
    }
  }
  // "?" and "!" are yaml-cpp's words for a plain and a quoted scalar without a tag.
  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag != "?" && tag != "!" && !tag.empty()) {
      throw Refusal(position_of(mark), "YAML tags (!name) are not allowed; write the bare value");
    }
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (open_.size() == max_depth) {
      throw Refusal(position_of(mark), "nested too deeply; at most " + std::to_string(max_depth) + " levels");
    }
    open_.push_back(append(mark, {.kind = kind, .plain = false, .at = {}, .scalar = {}, .children = {}}));
  }

  // The parents' addresses stay valid: a vector of children never grows while one of its elements is open.
  Node* append(const YAML::Mark& mark, Node node) {
    source_.delivered(mark);
    node.at = position_of(mark);
    if (++nodes_ > max_nodes) {
      throw Refusal(node.at, "the file has too many values; at most " + std::to_string(max_nodes));
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return &root_;
    }
    Node& parent = *open_.back();
    if (node.kind == Node::Kind::null && parent.kind == Node::Kind::map && parent.children.size() % 2 == 1) {
      // yaml-cpp places a missing value at the next token, often a line further.
      node.at = parent.children.back().at;
    }
    parent.children.push_back(std::move(node));
    return &parent.children.back();
  }

  PacedBuffer& source_;
  Node root_;
  std::vector<Node*> open_;
  std::size_t nodes_ = 0;
  std::size_t documents_ = 0;
};

// Length of the UTF-8 sequence that `text` starts with (RFC 3629: no overlong forms, surrogates, or above U+10FFFF);
// 0: none.
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const auto in = [&](std::size_t index, unsigned low, unsigned high) {
    return index < text.size() && byte(index) >= low && byte(index) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) {
    return 1;
  }
  if (lead >= 0xc2 && lead <= 0xdf) {
    return in(1, 0x80, 0xbf) ? 2 : 0;
  }
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool second = in(1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
    return second && in(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool second = in(1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
    return second && in(2, 0x80, 0xbf) && in(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

// True when yaml-cpp may see the text.
bool is_text(std::string_view text, Report& report) {
  std::size_t line_start = 0;
  std::uint32_t line = 1;
  for (std::size_t index = 0; index < text.size();) {
    const auto byte = static_cast<unsigned char>(text[index]);
    if (byte == '\n') {
      ++line;
      line_start = index + 1;
    }
    const bool line_end = byte == '\n' || (byte == '\r' && index + 1 < text.size() && text[index + 1] == '\n');
    const bool control = (byte < 0x20 && byte != '\t' && !line_end) || byte == 0x7f;
    const std::size_t length = control ? 0 : utf8_sequence(text.substr(index));
    if (length == 0) {
      report.error({line, static_cast<std::uint32_t>(index - line_start) + 1},
                   control ? "control character " + in_quotes(text.substr(index, 1)) + "; the file must be plain text"
                           : "byte " + in_quotes(text.substr(index, 1)) + " is no UTF-8; the file must be UTF-8 text");
      return false;
    }
    index += length;
  }
  return true;
}

}  // namespace

std::optional<Node> read_yaml(std::string_view text, Report& report) {
  if (text.size() > max_text_bytes) {
    report.error({}, "the file has " + std::to_string(text.size()) + " bytes; at most " +
                         std::to_string(max_text_bytes) + " are allowed");
    return std::nullopt;
  }
  if (!is_text(text, report)) {
    return std::nullopt;
  }
  PacedBuffer buffer(text);
  TreeBuilder builder(buffer);
  try {
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Refusal& refusal) {
    report.error(refusal.at, refusal.message);
  } catch (const YAML::Exception& exception) {
    report.error(exception.mark.is_null() ? Position{} : position_of(exception.mark),
                 "not valid YAML: " + printable(exception.msg, 160));
  } catch (const std::exception& exception) {
    report.error({}, std::string("the file cannot be read as YAML: ") + exception.what());
  }
  return std::nullopt;
}

}  // namespace steelyard::control::config

// Writes a head into buffers: pieces of text one after the other, into as many rooms as they need. Pieces are many and
// short, and a head mostly fits one room: so what is inlined knows that case alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace steelyard::http {

// Where a writer gets room.
class Rooms {
 public:
  // Room for at least one octet, which follows the room given before; empty: there is none, and the head is lost.
  [[nodiscard]] virtual std::span<std::uint8_t> more() = 0;

 protected:
  ~Rooms() = default;
};

class HeadWriter {
 public:
  explicit HeadWriter(Rooms& rooms) : rooms_(rooms) {}

  void text(std::string_view octets) {
    if (octets.size() > unused()) [[unlikely]] {
      return cut(octets);
    }
    append(octets);
  }
  void number(std::uint64_t number);  // decimal
  // "name: value\r\n"
  void field(std::string_view name, std::string_view value) {
    if (name.size() + value.size() + 4 > unused()) [[unlikely]] {
      return cut_field(name, value);
    }
    append(name);
    append(": ");
    append(value);
    append("\r\n");
  }
  void end_line() { text("\r\n"); }

  // How many octets of the last room are not used.
  [[nodiscard]] std::size_t unused() const { return static_cast<std::size_t>(end_ - at_); }
  // False: room was missing.
  [[nodiscard]] bool complete() const { return complete_; }
  [[nodiscard]] std::size_t written() const { return given_ - unused(); }

 private:
  void append(std::string_view octets) {
    if (!octets.empty()) {  // there may be no room yet
      std::memcpy(at_, octets.data(), octets.size());
      at_ += octets.size();
    }
  }
  // What does not fit the room at hand.
  void cut(std::string_view octets);
  void cut_field(std::string_view name, std::string_view value);

  Rooms& rooms_;
  std::uint8_t* at_ = nullptr;
  std::uint8_t* end_ = nullptr;
  std::size_t given_ = 0;  // octets of all rooms
  bool complete_ = true;
};

}  // namespace steelyard::http

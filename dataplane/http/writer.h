// Writes a head into buffers: pieces of text one after the other, into as many rooms as they need.
#pragma once

#include <cstddef>
#include <cstdint>
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

  void text(std::string_view octets);
  void number(std::uint64_t number);  // decimal
  // "name: value\r\n"
  void field(std::string_view name, std::string_view value);
  void end_line() { text("\r\n"); }

  // How many octets of the last room are not used. False: room was missing.
  [[nodiscard]] std::size_t unused() const { return room_.size(); }
  [[nodiscard]] bool complete() const { return complete_; }
  [[nodiscard]] std::size_t written() const { return written_; }

 private:
  Rooms& rooms_;
  std::span<std::uint8_t> room_;
  std::size_t written_ = 0;
  bool complete_ = true;
};

}  // namespace steelyard::http

// Packets as a pcapng file (draft-ietf-opsawg-pcapng): blocks, to be written one after the other. rte_pcapng writes to
// a descriptor, and blocks there; here the bytes go to whoever asked for them, so that this process opens no file for
// anybody. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace steelyard::control {

struct PcapngPacket {
  std::uint64_t time_ns = 0;    // since 1970
  std::uint32_t interface = 0;  // in the order of their blocks
  std::uint32_t length = 0;     // on the wire
  bool outbound = false;
  std::span<const std::byte> bytes;  // its beginning
};

class PcapngBlocks {
 public:
  // The file's first block. `program`: who writes it.
  void begin(std::string_view program);
  // An Ethernet interface with times in nanoseconds; all of them come before the packets.
  void add_interface(std::string_view name, std::uint32_t snaplen);
  void add(const PcapngPacket& packet);
  // Packets that an interface has given and lost, at the end.
  void add_statistics(std::uint32_t interface, std::uint64_t time_ns, std::uint64_t received, std::uint64_t lost);

  // Bytes since take().
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::vector<std::byte> take();

 private:
  template <class Number>
  void put(Number number);
  void put_padded(std::span<const std::byte> bytes);
  void put_option(std::uint16_t code, std::span<const std::byte> value);
  [[nodiscard]] std::size_t open(std::uint32_t type);
  void close(std::size_t begin);
  void put_time(std::uint64_t time_ns);

  std::vector<std::byte> bytes_;
};

}  // namespace steelyard::control

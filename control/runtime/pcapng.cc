#include "control/runtime/pcapng.h"

#include <cstring>
#include <utility>

namespace steelyard::control {
namespace {

// Block types and option codes, by their names in the draft.
constexpr std::uint32_t section_header_block = 0x0a0d0d0a;
constexpr std::uint32_t interface_description_block = 1;
constexpr std::uint32_t interface_statistics_block = 5;
constexpr std::uint32_t enhanced_packet_block = 6;
constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::uint16_t shb_userappl = 4;
constexpr std::uint16_t if_name = 2;
constexpr std::uint16_t if_tsresol = 9;
constexpr std::uint16_t epb_flags = 2;
constexpr std::uint16_t isb_ifrecv = 4;
constexpr std::uint16_t isb_ifdrop = 5;
constexpr std::uint16_t end_of_options = 0;
constexpr std::uint16_t linktype_ethernet = 1;
constexpr std::uint8_t nanoseconds = 9;  // 10^-9 s
constexpr std::uint32_t inbound_packet = 1;
constexpr std::uint32_t outbound_packet = 2;

template <class Value>
std::span<const std::byte> bytes_of(const Value& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

template <class Number>
void PcapngBlocks::put(Number number) {
  const auto bytes = bytes_of(number);  // the writer's byte order; the magic tells the reader
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void PcapngBlocks::put_padded(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});  // every block and option is a multiple of four long
}

void PcapngBlocks::put_option(std::uint16_t code, std::span<const std::byte> value) {
  put(code);
  put(static_cast<std::uint16_t>(value.size()));
  put_padded(value);
}

// A block's type and length, the length once more at its end.
std::size_t PcapngBlocks::open(std::uint32_t type) {
  const std::size_t begin = bytes_.size();
  put(type);
  put(std::uint32_t{0});
  return begin;
}

void PcapngBlocks::close(std::size_t begin) {
  put_option(end_of_options, {});
  const auto length = static_cast<std::uint32_t>(bytes_.size() - begin + 4);
  std::memcpy(bytes_.data() + begin + 4, &length, sizeof length);
  put(length);
}

void PcapngBlocks::put_time(std::uint64_t time_ns) {
  put(static_cast<std::uint32_t>(time_ns >> 32U));
  put(static_cast<std::uint32_t>(time_ns));
}

void PcapngBlocks::begin(std::string_view program) {
  const std::size_t begin = open(section_header_block);
  put(byte_order_magic);
  put(std::uint16_t{1});  // version 1.0
  put(std::uint16_t{0});
  put(~std::uint64_t{0});  // a section of a length that is not known
  put_option(shb_userappl, std::as_bytes(std::span(program)));
  close(begin);
}

void PcapngBlocks::add_interface(std::string_view name, std::uint32_t snaplen) {
  const std::size_t begin = open(interface_description_block);
  put(linktype_ethernet);
  put(std::uint16_t{0});
  put(snaplen);
  put_option(if_name, std::as_bytes(std::span(name)));
  put_option(if_tsresol, bytes_of(nanoseconds));
  close(begin);
}

void PcapngBlocks::add(const PcapngPacket& packet) {
  const std::size_t begin = open(enhanced_packet_block);
  put(packet.interface);
  put_time(packet.time_ns);
  put(static_cast<std::uint32_t>(packet.bytes.size()));
  put(packet.length);
  put_padded(packet.bytes);
  put_option(epb_flags, bytes_of(packet.outbound ? outbound_packet : inbound_packet));
  close(begin);
}

void PcapngBlocks::add_statistics(std::uint32_t interface, std::uint64_t time_ns, std::uint64_t received,
                                  std::uint64_t lost) {
  const std::size_t begin = open(interface_statistics_block);
  put(interface);
  put_time(time_ns);
  put_option(isb_ifrecv, bytes_of(received));
  put_option(isb_ifdrop, bytes_of(lost));
  close(begin);
}

std::vector<std::byte> PcapngBlocks::take() {
  return std::exchange(bytes_, {});
}

}  // namespace steelyard::control

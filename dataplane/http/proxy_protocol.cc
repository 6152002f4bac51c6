#include "dataplane/http/proxy_protocol.h"

#include <arpa/inet.h>
#include <nmmintrin.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "dataplane/http/characters.h"

namespace steelyard::http {
namespace {

constexpr std::string_view line_begin = "PROXY ";
constexpr std::array<std::uint8_t, 12> signature{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr std::size_t fixed_octets = 16;  // of version 2: signature, version and command, family, length

enum Command : std::uint8_t { local = 0, proxy = 1 };
enum Family : std::uint8_t { unspecified = 0, ipv4 = 1, ipv6 = 2, unix_socket = 3 };
enum Transport : std::uint8_t { unknown = 0, stream = 1, datagram = 2 };
// Of both addresses and ports together, by family.
constexpr std::array<std::size_t, 4> address_octets{0, 12, 36, 216};
constexpr std::uint8_t checksum_type = 0x03;

ProxyHeader malformed(const char* fault) {
  return {.state = ProxyHeader::State::malformed, .octets = 0, .addresses = {}, .fault = fault};
}
ProxyHeader incomplete(std::size_t needed) {
  return {.state = ProxyHeader::State::incomplete, .octets = needed, .addresses = {}};
}
ProxyHeader complete(std::size_t octets, const std::optional<ClientAddresses>& addresses) {
  return {.state = ProxyHeader::State::complete, .octets = octets, .addresses = addresses};
}

std::uint16_t number16(std::span<const std::uint8_t> octets) {
  return static_cast<std::uint16_t>(octets[0] << 8U | octets[1]);
}
std::uint32_t number32(std::span<const std::uint8_t> octets) {
  return std::uint32_t{number16(octets)} << 16U | number16(octets.subspan(2));
}

// --- version 1 -----------------------------------------------------------------------------------------------------

// "Heading zeroes are not permitted".
std::optional<std::uint16_t> read_port(std::string_view text) {
  std::uint32_t port = 0;
  const bool canonical = digits.make_up(text) && !text.empty() && (text.front() != '0' || text.size() == 1);
  if (!canonical || text.size() > 5) {
    return std::nullopt;
  }
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port <= 65'535 ? std::optional(static_cast<std::uint16_t>(port)) : std::nullopt;
}

std::optional<service::Address> read_address(std::string_view text, bool v6) {
  if (!v6) {
    const auto address = service::Address::parse(text);
    return address && address->is_v4() ? address : std::nullopt;
  }
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  std::array<std::uint8_t, 16> octets{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::ranges::copy(text, terminated.begin());
  return inet_pton(AF_INET6, terminated.data(), octets.data()) == 1 ? std::optional(service::Address::from_v6(octets))
                                                                    : std::nullopt;
}

ProxyHeader read_line(std::string_view text) {
  const std::size_t end = text.substr(0, most_proxy_line_octets).find('\n');
  if (end == std::string_view::npos) {
    return text.size() >= most_proxy_line_octets ? malformed("a line without an end") : incomplete(text.size() + 1);
  }
  if (text[end - 1] != '\r') {
    return malformed("a line that ends without CR");
  }
  std::string_view line = text.substr(line_begin.size(), end - 1 - line_begin.size());
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) {
    return complete(end + 1, std::nullopt);
  }
  std::array<std::string_view, 5> words;
  for (std::size_t place = 0; place < words.size(); ++place) {
    const std::size_t space = line.find(' ');
    if ((space == std::string_view::npos) != (place + 1 == words.size())) {
      return malformed("not five words");
    }
    words[place] = line.substr(0, space);
    line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  }
  const bool v6 = words[0] == "TCP6";
  if (!v6 && words[0] != "TCP4") {
    return malformed("another protocol");
  }
  const auto source = read_address(words[1], v6);
  const auto destination = read_address(words[2], v6);
  if (!source || !destination) {
    return malformed("a malformed address");
  }
  const auto source_port = read_port(words[3]);
  const auto destination_port = read_port(words[4]);
  if (!source_port || !destination_port) {
    return malformed("a malformed port");
  }
  return complete(end + 1, ClientAddresses{*source, *destination, *source_port, *destination_port});
}

// --- version 2 -----------------------------------------------------------------------------------------------------

// RFC 4960, appendix B, over `header` with zeros for its four octets from `checksum` on.
std::uint32_t crc32c(std::span<const std::uint8_t> header, std::size_t checksum) {
  std::uint32_t sum = 0xffffffffU;
  for (std::size_t place = 0; place < header.size(); ++place) {
    const bool own = place >= checksum && place < checksum + 4;
    sum = _mm_crc32_u8(sum, own ? std::uint8_t{0} : header[place]);
  }
  return ~sum;
}

// Section 2.2: type, length, value, from `at` to the header's end. Returns what is wrong; null: nothing.
const char* check_extensions(std::span<const std::uint8_t> header, std::size_t at) {
  constexpr std::size_t begin = 3;
  bool summed = false;
  while (at < header.size()) {
    const auto left = header.subspan(at);
    if (left.size() < begin || left.size() - begin < number16(left.subspan(1))) {
      return "an extension that is cut short";
    }
    const std::size_t length = number16(left.subspan(1));
    if (left[0] == checksum_type) {
      if (length != 4 || summed) {
        return "a malformed checksum";
      }
      summed = true;
      if (crc32c(header, at + begin) != number32(left.subspan(begin))) {
        return "a wrong checksum";
      }
    }
    at += begin + length;
  }
  return nullptr;
}

ClientAddresses read_addresses(std::span<const std::uint8_t> block, bool v6) {
  const auto address = [&](std::size_t place) {
    return v6 ? service::Address::from_v6(std::span<const std::uint8_t, 16>(block.subspan(place * 16, 16)))
              : service::Address::from_v4(std::span<const std::uint8_t, 4>(block.subspan(place * 4, 4)));
  };
  const std::size_t ports = v6 ? 32 : 8;
  return {address(0), address(1), number16(block.subspan(ports)), number16(block.subspan(ports + 2))};
}

ProxyHeader read_binary(std::span<const std::uint8_t> octets) {
  if (octets.size() > signature.size() && octets[12] >> 4U != 2) {
    return malformed("another version");
  }
  if (octets.size() < fixed_octets) {
    return incomplete(fixed_octets);
  }
  const std::size_t length = number16(octets.subspan(14));
  const std::size_t whole = fixed_octets + length;
  const unsigned command = octets[12] & 15U;
  const unsigned family = octets[13] >> 4U;
  const unsigned transport = octets[13] & 15U;
  if (whole > most_proxy_header_octets) {
    return malformed("a header too long");
  }
  if (command != local && command != proxy) {
    return malformed("another command");
  }
  // A LOCAL header's family is ignored, and all that follows it.
  if (command == proxy && (family > unix_socket || transport > datagram)) {
    return malformed("another family or transport");
  }
  const bool told = command == proxy && family != unspecified && transport != unknown;
  if (told && length < address_octets[family]) {
    return malformed("addresses that are cut short");
  }
  if (octets.size() < whole) {
    return incomplete(whole);
  }
  if (!told) {
    return complete(whole, std::nullopt);
  }
  const auto header = octets.first(whole);
  if (const char* fault = check_extensions(header, fixed_octets + address_octets[family]); fault != nullptr) {
    return malformed(fault);
  }
  if (family == unix_socket || transport == datagram) {
    return complete(whole, std::nullopt);
  }
  return complete(whole, read_addresses(header.subspan(fixed_octets), family == ipv6));
}

// Do they agree as far as both go?
bool begin_alike(std::span<const std::uint8_t> octets, std::span<const std::uint8_t> wanted) {
  const std::size_t size = std::min(octets.size(), wanted.size());
  return std::ranges::equal(octets.first(size), wanted.first(size));
}

}  // namespace

ProxyHeader read_proxy_header(std::span<const std::uint8_t> octets) {
  const std::string_view text(reinterpret_cast<const char*>(octets.data()), octets.size());
  if (text.substr(0, line_begin.size()) == line_begin.substr(0, text.size())) {
    return octets.size() < line_begin.size() ? incomplete(octets.size() + 1) : read_line(text);
  }
  return begin_alike(octets, signature) ? read_binary(octets) : malformed("no header");
}

// --- what we send --------------------------------------------------------------------------------------------------

namespace {

char* write(char* at, std::string_view text) {
  return std::ranges::copy(text, at).out;
}
char* write_number(char* at, unsigned number) {
  return std::to_chars(at, at + 5, number).ptr;
}
char* write_octets(char* at, std::span<const std::uint8_t> octets) {
  std::memcpy(at, octets.data(), octets.size());
  return at + octets.size();
}
char* write_port(char* at, std::uint16_t port) {
  *at++ = static_cast<char>(port >> 8U);
  *at++ = static_cast<char>(port & 0xffU);
  return at;
}

// An IPv4 address beside an IPv6 one is written as such, too.
char* write_address(char* at, const service::Address& address, bool v4) {
  std::array<char, service::Address::most_text> text{};
  if (v4) {
    return write(at, {text.data(), address.write(text)});
  }
  inet_ntop(AF_INET6, address.v6().data(), text.data(), static_cast<socklen_t>(text.size()));
  return write(at, text.data());
}

}  // namespace

ProxyPreface::ProxyPreface(ProxyVersion version, const ClientAddresses& client) {
  const bool v4 = client.source.is_v4() && client.destination.is_v4();
  char* at = octets_.data();
  if (version == ProxyVersion::v1) {
    at = write(at, v4 ? "PROXY TCP4 " : "PROXY TCP6 ");
    at = write(write_address(at, client.source, v4), " ");
    at = write(write_address(at, client.destination, v4), " ");
    at = write(write_number(at, client.source_port), " ");
    at = write(write_number(at, client.destination_port), "\r\n");
  } else {
    at = write_octets(at, signature);
    *at++ = 0x20 | proxy;
    *at++ = static_cast<char>((v4 ? ipv4 : ipv6) << 4U | stream);
    at = write_port(at, static_cast<std::uint16_t>(address_octets[v4 ? ipv4 : ipv6]));
    for (const service::Address& address : {client.source, client.destination}) {
      at = v4 ? write_octets(at, address.v4()) : write_octets(at, address.v6());
    }
    at = write_port(write_port(at, client.source_port), client.destination_port);
  }
  length_ = static_cast<std::size_t>(at - octets_.data());
}

}  // namespace steelyard::http

// An IPv4 or IPv6 address and a prefix as the configuration model and the snapshot know them. IPv4 is kept in its
// IPv4-mapped IPv6 form (RFC 4291 section 2.5.5.2), so that one key type serves both families. This is the model's
// type; header fields on the wire have their own (packet/headers.h).
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace steelyard::service {

// A value type; any thread.
class Address {
 public:
  constexpr Address() = default;  // "::", the unspecified address

  // Takes the four or sixteen bytes of an address in network order.
  static Address from_v4(std::span<const std::uint8_t, 4> bytes) {
    Address address;
    address.bytes_[10] = address.bytes_[11] = 0xff;
    std::memcpy(address.bytes_.data() + 12, bytes.data(), 4);
    return address;
  }
  static Address from_v6(std::span<const std::uint8_t, 16> bytes) {
    Address address;
    std::memcpy(address.bytes_.data(), bytes.data(), 16);
    return address;
  }

  // Reads "192.0.2.1" or "2001:db8::1". Refuses zones, prefixes, IPv4-mapped text and everything else: nullopt.
  [[nodiscard]] static std::optional<Address> parse(std::string_view text);

  [[nodiscard]] bool is_v4() const {
    static constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(bytes_.data(), mapped.data(), mapped.size()) == 0;
  }
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_link_local() const;

  // The address in network order; v4() is meaningful only when is_v4().
  [[nodiscard]] std::span<const std::uint8_t, 4> v4() const {
    return std::span<const std::uint8_t, 16>(bytes_).last<4>();
  }
  [[nodiscard]] std::span<const std::uint8_t, 16> v6() const { return bytes_; }

  // RFC 5952 text for IPv6, dotted quad for IPv4.
  [[nodiscard]] std::string to_string() const;
  // The same without allocating; returns how many characters it has written.
  static constexpr std::size_t most_text = 46;
  std::size_t write(std::span<char, most_text> text) const;

  friend auto operator<=>(const Address&, const Address&) = default;
  // Spelled out: the default calls memcmp, and a new flow compares a dozen addresses.
  friend bool operator==(const Address& left, const Address& right) {
    return __builtin_memcmp(left.bytes_.data(), right.bytes_.data(), 16) == 0;
  }

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

// An address with a prefix length counted in the address's own family (0..32 or 0..128). Host bits are kept as given:
// an interface address such as 192.0.2.7/24 is one of its uses.
struct Prefix {
  Address address;
  std::uint8_t length = 0;

  // Reads "192.0.2.0/24"; a bare address is a host prefix.
  [[nodiscard]] static std::optional<Prefix> parse(std::string_view text);
  // Every new flow asks this of some routes.
  [[nodiscard]] bool contains(const Address& candidate) const {
    const unsigned bits = length + (address.is_v4() ? 96U : 0U);
    return address.is_v4() == candidate.is_v4() &&
           ((half(address, 0) ^ half(candidate, 0)) & leading(std::min(bits, 64U))) == 0 &&
           ((half(address, 8) ^ half(candidate, 8)) & leading(bits - std::min(bits, 64U))) == 0;
  }
  // The prefix with its host bits cleared.
  [[nodiscard]] Prefix network() const;
  [[nodiscard]] std::string to_string() const;

  friend auto operator<=>(const Prefix&, const Prefix&) = default;

 private:
  // Eight bytes of an address as a number whose highest bit is the first on the wire.
  [[nodiscard]] static std::uint64_t half(const Address& whole, std::size_t at) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, whole.v6().data() + at, sizeof bytes);
    return __builtin_bswap64(bytes);
  }
  // A mask of the first `bits` (0..64) bits.
  [[nodiscard]] static constexpr std::uint64_t leading(unsigned bits) {
    return bits == 0 ? 0 : ~std::uint64_t{0} << (64U - bits);
  }
};

}  // namespace steelyard::service

template <>
struct std::hash<steelyard::service::Address> {
  std::size_t operator()(const steelyard::service::Address& address) const noexcept {
    const auto bytes = address.v6();
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
};

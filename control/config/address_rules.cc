#include "control/config/address_rules.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace steelyard::control::config {

bool is_host_address(const Address& address) {
  if (address.is_unspecified() || address.is_multicast() || address.is_loopback()) {
    return false;
  }
  return !address.is_v4() || (address.v4()[0] != 0 && address.v4()[0] < 240);
}

std::string_view fault_in_network(const Prefix& prefix) {
  if (!prefix.address.is_v4() || prefix.length > 30) {
    return {};
  }
  if (prefix.network().address == prefix.address) {
    return "is the network's address, not a host's";
  }
  std::array<std::uint8_t, 4> bytes{};
  std::ranges::copy(prefix.address.v4(), bytes.begin());
  bool host_bits_all_set = true;
  for (unsigned bit = prefix.length; bit < 32; ++bit) {
    host_bits_all_set = host_bits_all_set && (bytes[bit / 8] & (0x80U >> (bit % 8))) != 0;
  }
  return host_bits_all_set ? "is the network's broadcast address" : "";
}

}  // namespace steelyard::control::config

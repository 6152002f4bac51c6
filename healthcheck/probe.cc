// Identity and text of probes; see the header.
#include "healthcheck/probe.h"

#include <string_view>

namespace steelyard::healthcheck {
namespace {

// Mixing as in boost::hash_combine (64 bit): specs come from the operator's configuration, so no secret is needed.
void mix(std::size_t& seed, std::size_t value) {
  seed ^= value + 0x9e3779b97f4a7c15U + (seed << 12U) + (seed >> 4U);
}

template <typename Integer>
void mix_number(std::size_t& seed, Integer value) {
  mix(seed, std::hash<Integer>{}(value));
}

}  // namespace

std::string StatusClasses::to_string() const {
  std::string text;
  for (unsigned hundreds = 1; hundreds <= 5; ++hundreds) {
    if (!contains(hundreds * 100))
      continue;
    if (!text.empty())
      text += ' ';
    text += std::to_string(hundreds) + "xx";
  }
  return text.empty() ? "none" : text;
}

std::size_t ProbeSpecHash::operator()(const ProbeSpec& spec) const noexcept {
  std::size_t seed = std::hash<boost::asio::ip::address>{}(spec.address);
  mix_number(seed, (static_cast<std::uint64_t>(spec.port) << 32U) | (static_cast<std::uint64_t>(spec.type) << 16U) |
                       (static_cast<std::uint64_t>(spec.method) << 8U) | spec.accepted.bits());
  mix_number(seed, spec.interval.count());
  mix_number(seed, spec.timeout.count());
  const std::hash<std::string_view> text;
  for (const std::string* field : {&spec.path, &spec.host, &spec.request, &spec.expect, &spec.interface})
    mix(seed, text(*field));
  mix(seed, std::hash<boost::asio::ip::address>{}(spec.source));
  return seed;
}

std::string address_text(const boost::asio::ip::address& address) {
  if (!address.is_v6())
    return address.to_string();
  std::string text = "[";
  text += address.to_string();
  text += "]";
  return text;
}

std::string describe(const ProbeSpec& spec) {
  std::string text;
  switch (spec.type) {
    case ProbeType::tcp:
      text = "tcp ";
      break;
    case ProbeType::udp:
      text = "udp ";
      break;
    case ProbeType::http:
      text = spec.method == HttpMethod::head ? "http HEAD http://" : "http GET http://";
      break;
  }
  text.append(address_text(spec.address)).append(":").append(std::to_string(spec.port));
  if (spec.type != ProbeType::http)
    return text;
  text += spec.path;
  if (!spec.host.empty())
    text.append(" (host ").append(spec.host).append(")");
  return text;
}

}  // namespace steelyard::healthcheck

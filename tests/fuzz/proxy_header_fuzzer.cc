// Feeds the octets that begin a trusted proxy's connection to the reader of PROXY headers, as they come in pieces: it
// never reads beyond them, never takes back what it has said of fewer octets, and reads what we write of the addresses
// as the same ones.
//
// Input: the octets.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/http/proxy_protocol.h"
#include "tests/fuzz/input.h"

namespace {

using namespace steelyard;
using fuzz::require;
using http::ProxyHeader;
using State = ProxyHeader::State;

// From memory of their own, so that an octet read behind them is seen.
ProxyHeader read(std::span<const std::uint8_t> octets) {
  const std::vector<std::uint8_t> own(octets.begin(), octets.end());
  return http::read_proxy_header(own);
}

void check_written(const http::ClientAddresses& addresses) {
  for (const auto version : {http::ProxyVersion::v1, http::ProxyVersion::v2}) {
    const http::ProxyPreface preface(version, addresses);
    const auto text = preface.view();
    const ProxyHeader again = read({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    require(again.state == State::complete && again.octets == text.size() && again.addresses == addresses);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span octets(data, size);
  const ProxyHeader whole = read(octets);
  std::size_t needed = 0;  // before so many nothing new can be said
  for (std::size_t come = 0; come <= size; come += come < 128 ? 1 : 61) {
    const ProxyHeader header = read(octets.first(come));
    if (header.state == State::incomplete) {
      require(header.octets > come && header.octets <= http::most_proxy_header_octets && !header.addresses);
      needed = std::max(needed, header.octets);
      continue;
    }
    // What is wrong with an address block's length may be said as soon as it is known.
    require(header.state == State::malformed || come >= needed);
    require(header.state == whole.state && header.octets == whole.octets && header.addresses == whole.addresses);
    break;
  }
  if (whole.state == State::complete) {
    require(whole.octets <= size && whole.octets <= http::most_proxy_header_octets);
    if (whole.addresses) {
      check_written(*whole.addresses);
    }
  } else if (whole.state == State::malformed) {
    require(*whole.fault != '\0' && !whole.addresses);
  }
  return 0;
}

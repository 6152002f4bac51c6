#include "dataplane/service/access_control.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace steelyard::service {
namespace {

constexpr std::uint64_t all_bits = std::numeric_limits<std::uint64_t>::max();

std::uint32_t number_v4(const Address& address) {
  std::uint32_t bytes = 0;
  std::memcpy(&bytes, address.v4().data(), sizeof bytes);
  return __builtin_bswap32(bytes);
}

WideNumber number_v6(const Address& address) {
  WideNumber bytes;
  std::memcpy(&bytes.high, address.v6().data(), sizeof bytes.high);
  std::memcpy(&bytes.low, address.v6().data() + sizeof bytes.high, sizeof bytes.low);
  return {__builtin_bswap64(bytes.high), __builtin_bswap64(bytes.low)};
}

// The bits that a prefix of this length leaves to hosts, of a number of 64 bits.
std::uint64_t host_bits(unsigned length) {
  return length >= 64 ? 0 : all_bits >> length;
}

AddressRanges<std::uint32_t>::Range range_v4(const Prefix& prefix) {
  const std::uint32_t first = number_v4(prefix.network().address);
  return {first, first | static_cast<std::uint32_t>(host_bits(32U + prefix.length))};
}

AddressRanges<WideNumber>::Range range_v6(const Prefix& prefix) {
  const WideNumber first = number_v6(prefix.network().address);
  const unsigned of_low = prefix.length < 64 ? 0U : prefix.length - 64U;
  return {first, {first.high | host_bits(prefix.length), first.low | host_bits(of_low)}};
}

// Does a range that begins at `next` go on where one ends?
bool follows(std::uint32_t last, std::uint32_t next) {
  return next != 0 && next - 1 == last;
}
bool follows(const WideNumber& last, const WideNumber& next) {
  return next > WideNumber{} && last == WideNumber{next.high - (next.low == 0 ? 1U : 0U), next.low - 1};
}

}  // namespace

template <class Number>
AddressRanges<Number>::AddressRanges(std::vector<Range> ranges) {
  std::ranges::sort(ranges, {}, &Range::first);
  for (const Range& range : ranges) {
    if (!lasts_.empty() && (range.first <= lasts_.back() || follows(lasts_.back(), range.first))) {
      lasts_.back() = std::max(lasts_.back(), range.last);
    } else {
      firsts_.push_back(range.first);
      lasts_.push_back(range.last);
    }
  }
  firsts_.shrink_to_fit();
  lasts_.shrink_to_fit();
}

template <class Number>
bool AddressRanges<Number>::contains(Number address) const {
  const auto after = std::ranges::upper_bound(firsts_, address);
  return after != firsts_.begin() && address <= lasts_[static_cast<std::size_t>(after - firsts_.begin()) - 1];
}

template class AddressRanges<std::uint32_t>;
template class AddressRanges<WideNumber>;

AccessControl::AccessControl(AccessType type, std::span<const Prefix> sources) : type_(type) {
  std::vector<AddressRanges<std::uint32_t>::Range> v4;
  std::vector<AddressRanges<WideNumber>::Range> v6;
  for (const Prefix& prefix : sources) {
    if (prefix.address.is_v4()) {
      v4.push_back(range_v4(prefix));
    } else {
      v6.push_back(range_v6(prefix));
    }
  }
  v4_ = AddressRanges<std::uint32_t>(std::move(v4));
  v6_ = AddressRanges<WideNumber>(std::move(v6));
}

bool AccessControl::allows(const Address& source) const {
  const bool listed = source.is_v4() ? v4_.contains(number_v4(source)) : v6_.contains(number_v6(source));
  return listed == (type_ == AccessType::white);
}

}  // namespace steelyard::service

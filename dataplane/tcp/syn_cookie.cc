#include "dataplane/tcp/syn_cookie.h"

namespace steelyard::tcp {
namespace {

constexpr Duration secret_lifetime = std::chrono::seconds{64};
constexpr std::uint32_t digest_mask = 0x0fffffffU;
constexpr std::uint32_t option_bits = 0x3f;
constexpr std::uint32_t sack_bit = 0x10;
constexpr std::uint32_t no_scale = 0x0f;

// What a client's segment size is rounded down to: the default of IPv4, the common ones of tunnels, PPPoE and Ethernet
// for both families, jumbo frames; the first so that a small one is never exceeded by much.
constexpr std::array<std::uint16_t, 8> segment_sizes{216, 536, 1'220, 1'300, 1'380, 1'440, 1'460, 8'940};

std::uint64_t epoch_of(Time now) {
  return static_cast<std::uint64_t>(now.time_since_epoch() / secret_lifetime);
}

std::uint32_t size_index_of(std::uint16_t segment_size) {
  std::uint32_t index = segment_sizes.size() - 1;
  while (index > 0 && segment_sizes[index] > segment_size) {
    --index;
  }
  return index;
}

}  // namespace

std::uint32_t SynCookies::digest(const Endpoints& endpoints, Sequence peer_initial, std::uint32_t size_index,
                                 std::uint64_t epoch) const {
  const std::array<std::uint64_t, 2> seed{epoch, 0x636f6f6b6965U};
  const SipKey secret{{siphash(master_, seed), siphash(master_, std::array{epoch, std::uint64_t{1}})}};
  const std::uint64_t more = std::uint64_t{peer_initial.value} << 32U | size_index;
  return static_cast<std::uint32_t>(siphash(secret, endpoints, more)) & digest_mask;
}

Sequence SynCookies::make(const Endpoints& endpoints, const Handshake& handshake, Time now) const {
  const std::uint64_t epoch = epoch_of(now);
  const std::uint32_t size_index = size_index_of(handshake.segment_size);
  return {static_cast<std::uint32_t>(epoch & 1U) << 31U | size_index << 28U |
          digest(endpoints, handshake.peer_initial, size_index, epoch)};
}

std::uint32_t SynCookies::make_timestamp(const Handshake& handshake, std::uint32_t timestamp) {
  const std::uint32_t options =
      (handshake.sack ? sack_bit : 0U) | (handshake.scaled ? handshake.window_scale : no_scale);
  const std::uint32_t made = (timestamp & ~option_bits) | options;
  return static_cast<std::int32_t>(made - timestamp) > 0 ? made - (option_bits + 1) : made;
}

std::optional<Handshake> SynCookies::check(const Endpoints& endpoints, Sequence initial, Sequence peer_initial,
                                           const Options& options, Time now) const {
  std::uint64_t epoch = epoch_of(now);
  if ((epoch & 1U) != initial.value >> 31U) {
    if (epoch == 0) {
      return std::nullopt;
    }
    --epoch;
  }
  const std::uint32_t size_index = initial.value >> 28U & 7U;
  if (digest(endpoints, peer_initial, size_index, epoch) != (initial.value & digest_mask)) {
    return std::nullopt;
  }
  Handshake handshake;
  handshake.peer_initial = peer_initial;
  handshake.initial = initial;
  handshake.segment_size = segment_sizes[size_index];
  if (options.has_timestamps) {
    const std::uint32_t kept = options.timestamp_echo & option_bits;
    handshake.timestamps = true;
    handshake.timestamp = options.timestamp;
    handshake.sack = (kept & sack_bit) != 0;
    handshake.scaled = (kept & no_scale) <= max_window_scale;
    handshake.window_scale = handshake.scaled ? static_cast<std::uint8_t>(kept & no_scale) : std::uint8_t{0};
  }
  return handshake;
}

}  // namespace steelyard::tcp

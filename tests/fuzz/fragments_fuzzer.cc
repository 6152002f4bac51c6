// Fragments under hostile input: the bytes are a little program of frames - raw ones, and fragments of few datagrams,
// so that they meet - and of pauses and verdicts. Everything goes the way that the worker sends it: parsed, taken down
// in a table of few places, held or passed. After every step: the table stays within its limits, and no two fragments
// of a datagram that were let in overlap. At the end every packet that was held has been given back once.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "dataplane/l4/fragment_table.h"
#include "dataplane/packet/build.h"
#include "dataplane/packet/fragment.h"
#include "tests/fuzz/input.h"

namespace steelyard {
namespace {

constexpr l4::FragmentLimits limits{.datagrams = 6, .held = 8, .held_a_datagram = 5};
constexpr packet::HashKey key{{0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f0}};

using fuzz::Bytes;
using fuzz::require;

template <class Family>
class Datagrams final : public l4::FragmentOutput {
 public:
  ~Datagrams() override {
    table_.reset();
    require(held_.empty());
  }

  void give_up_fragment(void* packet, packet::DropReason) override { take_back(packet); }

  void pass(std::uint64_t nanoseconds, std::size_t budget) {
    now_ += nanoseconds;
    table_->expire(now_, budget);
    check();
  }

  // A frame that has been parsed, and what its first fragment's verdict would be.
  void handle(packet::PacketView view, std::uint8_t verdict) {
    const auto fragment = packet::fragment_of<Family>(view);
    if (!fragment) {
      return;
    }
    require(fragment->length > 0 && fragment->end() <= packet::largest_datagram && fragment->offset % 8 == 0);
    const auto datagram = packet::datagram_of<Family>(view);
    const std::uint64_t hash = packet::hash(key, datagram);
    const bool comes_back = fragment->first() && verdict % 8 == 7;
    const auto admission =
        comes_back ? table_->readmit(datagram, hash, *fragment, now_) : table_->admit(datagram, hash, *fragment, now_);
    if (!admission.refused) {
      let_in(datagram, admission.datagram, *fragment, comes_back);
      go_on(view, *fragment, admission.datagram, verdict);
    }
    check();
  }

 private:
  using Table = l4::FragmentTable<Family>;
  using Name = std::tuple<std::vector<std::uint8_t>, std::uint16_t, std::uint16_t, std::uint8_t>;

  void go_on(packet::PacketView view, const packet::Fragment& fragment, l4::DatagramIndex index, std::uint8_t verdict) {
    auto& datagram = (*table_)[index];
    if (datagram.way != l4::FragmentWay::waiting) {
      table_->forget_if_complete(index);
      return;
    }
    if (!fragment.first()) {
      void* handle = new_handle();
      if (table_->hold(index, handle, now_)) {
        return;
      }
      take_back(handle);
      return;
    }
    packet::turn_into_first(view);
    if (view.kind == packet::PacketKind::l4) {
      static_cast<void>(view.tuple<Family>());
    }
    switch (verdict % 5) {
      case 0:
        return;  // asked elsewhere
      case 1:
        table_->condemn(index, packet::DropReason::fragment_first_dropped, now_);
        return;
      default:
        table_->decide(index, static_cast<l4::FragmentWay>(verdict % 5 - 1), now_);
    }
    while (void* held = table_->next_held(index)) {
      take_back(held);
    }
    table_->forget_if_complete(index);
  }

  // What passes or may pass of a datagram, as long as the table remembers it. A first fragment that comes back has been
  // let in before.
  void let_in(const typename Table::Key& datagram, l4::DatagramIndex index, const packet::Fragment& fragment,
              bool comes_back) {
    const auto source = datagram.source.bytes();
    std::vector<bool>& seen =
        seen_[Name{{source.begin(), source.end()}, datagram.source_port, datagram.destination_port, datagram.protocol}];
    const auto& entry = (*table_)[index];
    const std::uint32_t units = (fragment.end() + 7) / 8;
    const bool alone =
        entry.range_count == 1 && entry.ranges[0].first == fragment.offset / 8 && entry.ranges[0].end == units;
    if (alone || seen.empty()) {
      seen.assign(8'192, false);
    }
    for (std::uint32_t unit = fragment.offset / 8; unit < units; ++unit) {
      // What comes back need not be what went: of that, only the beginning is taken down.
      if (comes_back && unit >= entry.ranges[0].end) {
        break;
      }
      require(comes_back || !seen[unit]);
      seen[unit] = true;
    }
    for (std::uint32_t range = 0; range < entry.range_count; ++range) {
      require(entry.ranges[range].first < entry.ranges[range].end);
      require(range == 0 || entry.ranges[range - 1].end < entry.ranges[range].first);
      for (std::uint32_t unit = entry.ranges[range].first; unit < entry.ranges[range].end; ++unit) {
        require(seen[unit]);
      }
    }
    require(entry.end == 0 || entry.ranges[entry.range_count - 1].end <= (entry.end + 7) / 8);
  }

  void* new_handle() {
    void* handle = reinterpret_cast<void*>(++handles_ * 16);  // NOLINT
    held_.insert(handle);
    return handle;
  }
  void take_back(void* handle) { require(held_.erase(handle) == 1); }

  void check() const {
    require(table_->size() <= limits.datagrams);
    require(table_->held() <= limits.held && table_->held() == held_.size());
  }

  std::uint64_t now_ = 1'000'000'000;
  std::uintptr_t handles_ = 0;
  std::set<void*> held_;
  std::map<Name, std::vector<bool>> seen_;
  std::unique_ptr<Table> table_ = std::make_unique<Table>(limits, *this);
};

class World {
 public:
  void run(Bytes input) {
    while (!input.empty()) {
      const std::uint8_t operation = input.byte();
      switch (operation % 8) {
        case 0:
          raw(input);
          break;
        case 1: {
          const std::uint64_t time = std::uint64_t{input.word()} * 200'000;  // up to 13 s
          v4_.pass(time, operation >> 3U);
          v6_.pass(time, operation >> 3U);
          break;
        }
        default:
          (operation & 0x80U) != 0 ? formed<packet::Ipv6>(input) : formed<packet::Ipv4>(input);
      }
    }
  }

 private:
  // Any frame, in a buffer of just its size so that a read beyond it is seen.
  void raw(Bytes& input) {
    std::vector<std::uint8_t> frame(input.byte());
    for (std::uint8_t& byte : frame) {
      byte = input.byte();
    }
    handle(frame, frame.size(), input.byte());
  }

  // A fragment of one of eight datagrams. Its data may be cut off, as those in further buffers are.
  template <class Family>
  void formed(Bytes& input) {
    const std::uint8_t who = input.byte();
    const std::uint8_t verdict = input.byte();
    const std::uint16_t place = input.word();  // offset in units and "more" in the lowest bit
    const std::size_t units = input.byte();
    const std::size_t length = (units & 0x3fU) * 8 + (units >> 6U);
    const std::size_t present = std::min<std::size_t>(length, input.byte());
    const std::size_t headers = Family::header_size + (Family::is_v6 ? 8 : 0);
    std::vector<std::uint8_t> frame(14 + headers + present);
    packet::store(frame.data() + 12, __builtin_bswap16(Family::ether_type));
    std::uint8_t* l3 = frame.data() + 14;
    typename Family::Address source{};
    typename Family::Address destination{};
    std::memset(&source.raw, 0x20, sizeof source.raw);
    std::memset(&destination.raw, 0x30, sizeof destination.raw);
    const std::uint8_t protocol = (who & 8U) != 0 ? packet::protocol_tcp : packet::protocol_udp;
    packet::write_ip_header<Family>(l3, source, destination, Family::is_v6 ? packet::protocol_fragment : protocol,
                                    length + (Family::is_v6 ? 8 : 0));
    const std::uint16_t offset = place >> 3U & 0x1fffU;
    const bool more = (place & 1U) != 0;
    if constexpr (Family::is_v6) {
      std::uint8_t* header = l3 + Family::header_size;
      header[0] = (who & 0x10U) != 0 ? packet::protocol_destination_options : protocol;
      packet::store(header + 2,
                    __builtin_bswap16(static_cast<std::uint16_t>(unsigned{offset} << 3U | (more ? 1U : 0U))));
      header[7] = who & 7U;
    } else {
      l3[5] = who & 7U;
      packet::store(l3 + 6, __builtin_bswap16(static_cast<std::uint16_t>(unsigned{offset} | (more ? 0x2000U : 0U))));
      packet::store(l3 + 10, std::uint16_t{0});
      packet::store(l3 + 10, packet::ipv4_header_checksum({l3, Family::header_size}));
    }
    for (std::size_t at = 0; at < std::min<std::size_t>(present, 24); ++at) {
      frame[14 + headers + at] = input.byte();
    }
    handle(frame, 14 + headers + length, verdict);
  }

  void handle(std::vector<std::uint8_t>& frame, std::size_t length, std::uint8_t verdict) {
    const packet::PacketView view = packet::parse(frame, length, {});
    if (view.kind == packet::PacketKind::fragment) {
      view.is_v6 ? v6_.handle(view, verdict) : v4_.handle(view, verdict);
    }
  }

  Datagrams<packet::Ipv4> v4_;
  Datagrams<packet::Ipv6> v6_;
};

}  // namespace
}  // namespace steelyard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t largest = 4'096;
  if (size <= largest) {
    steelyard::World().run({data, size});
  }
  return 0;
}

// The datagrams of which fragments are under way through this worker: what has come of each, what is to become of the
// rest, and the fragments that wait because the first one, which has the ports, has not come yet. Fragments pass one by
// one; nothing is put together here. Pure: packets are opaque handles, time is passed in. Worker only.
//
// What it promises, whoever sends:
//   - The fragments of a datagram that pass do not overlap. One that overlaps another, or contradicts it about the
//     datagram's end, condemns the datagram: what waits of it and what follows is dropped (RFC 5722, RFC 8200 section
//     4.5; the same for IPv4 against the attacks of RFC 3128 and "teardrop"). What only repeats bytes that have passed,
//     a duplicate that the network made, is dropped alone, as RFC 8200 permits.
//   - Memory is allocated once: `datagrams` entries, `held` waiting packets. Datagrams that wait for their first
//     fragment, all that a flood of later ones can make, take at most half of the entries: beyond that the oldest of
//     them gives way. Where entries run out otherwise it is the oldest of those whose first fragment has come.
//   - A datagram whose fragments have all passed is forgotten at once, so that its identification may come again. One
//     with losses is forgotten `life` after it began to wait, and `life` after its first fragment came. RFC 791 and RFC
//     8200 give the receiver 60 s and Linux takes 30 s; but fragments follow each other within milliseconds, nothing is
//     lost by forgetting those that passed, and a busy sender is round its 65,536 numbers in seconds.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/l4/fragment_path.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/packet/fragment.h"
#include "dataplane/service/ids.h"

namespace steelyard::l4 {

// What the table asks of its worker.
class FragmentOutput {
 public:
  virtual ~FragmentOutput() = default;
  // A waiting packet is not wanted any more; its owner is the worker again.
  virtual void give_up_fragment(void* packet, packet::DropReason reason) = 0;
};

struct FragmentLimits {
  std::uint32_t datagrams = 4'096;
  std::uint32_t held = 512;  // packets
  // Packets that wait for one first fragment: the largest datagram has 54 in links of 1,280 bytes.
  std::uint32_t held_a_datagram = 64;
  std::uint64_t life_ns = 5'000'000'000;
};

// What becomes of a datagram's fragments.
enum class FragmentWay : std::uint8_t {
  waiting,    // for the first one, or for its verdict
  forward,    // along `path`
  hand_off,   // to `owner`, whose flow it is
  unclaimed,  // no service's: the kernel's, or as configured
  condemned,  // dropped, by `reason`
};

// A datagram's place in the table.
struct DatagramIndex {
  std::uint32_t value = 0;
  friend bool operator==(DatagramIndex, DatagramIndex) = default;
};

template <class Family>
class FragmentTable {
 public:
  using Key = packet::Tuple<Family>;  // datagram_of()

  struct Datagram {
    Key key;
    std::uint64_t deadline_ns = 0;
    std::uint32_t next_in_bucket = none;
    std::uint32_t older = none;  // in the queue of its kind
    std::uint32_t newer = none;
    std::uint32_t first_held = none;
    std::uint32_t last_held = none;
    std::uint32_t held = 0;
    std::uint32_t end = 0;        // bytes, once the last fragment has come; 0 before
    std::uint32_t first_end = 0;  // of the first one, once it has come; 0 before
    std::uint32_t bucket = 0;
    FragmentWay way = FragmentWay::waiting;
    packet::DropReason reason{};
    service::WorkerId owner;
    FragmentPath<Family> path;
    // What has come, in units of eight bytes: apart, in order. As many as the fragments of the largest datagram can
    // leave when every other one is missing.
    struct Range {
      std::uint16_t first;
      std::uint16_t end;
    };
    std::uint32_t range_count = 0;
    std::array<Range, 32> ranges;
  };

  // Allocates everything. `output` outlives the table.
  FragmentTable(const FragmentLimits& limits, FragmentOutput& output);
  ~FragmentTable() { clear(packet::DropReason::fragment_timed_out); }
  FragmentTable(const FragmentTable&) = delete;
  FragmentTable& operator=(const FragmentTable&) = delete;

  // Takes down that a fragment has come, making an entry for a new datagram. `hash`: of the key, secret; its lower half
  // is used. With `refused` the fragment is to be dropped; else it is to go the datagram's way, or, while that is
  // `waiting`, to be decided (the first one) or held.
  struct Admission {
    DatagramIndex datagram;
    std::optional<packet::DropReason> refused;
  };
  [[nodiscard]] Admission admit(const Key& key, std::uint64_t hash, const packet::Fragment& fragment,
                                std::uint64_t now_ns);
  // The same for a first fragment that comes back from another worker with its verdict. Its datagram may have had to
  // give way meanwhile, or have got another first fragment.
  [[nodiscard]] Admission readmit(const Key& key, std::uint64_t hash, const packet::Fragment& fragment,
                                  std::uint64_t now_ns);

  // An index is valid until the next call that is given none, and forget_if_complete().
  [[nodiscard]] Datagram& operator[](DatagramIndex index) { return datagrams_[index.value]; }

  // Keeps a packet until the way is known. False: there was no room, the datagram is condemned, and the packet is the
  // caller's.
  [[nodiscard]] bool hold(DatagramIndex index, void* packet, std::uint64_t now_ns);
  // The way is known. What has waited is fetched with next_held(), oldest first.
  void decide(DatagramIndex index, FragmentWay way, std::uint64_t now_ns);
  [[nodiscard]] void* next_held(DatagramIndex index);
  // Drops what waits, and from now on what follows.
  void condemn(DatagramIndex index, packet::DropReason reason, std::uint64_t now_ns);
  // Forgets the datagram if all of it has come and gone.
  void forget_if_complete(DatagramIndex index);

  // Forgets what is too old, at most `budget` datagrams. Returns how many. Once a millisecond or so.
  std::size_t expire(std::uint64_t now_ns, std::size_t budget);
  // Forgets everything.
  void clear(packet::DropReason reason);

  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint32_t held() const { return held_count_; }

 private:
  static constexpr std::uint32_t none = 0xffffffffU;
  struct Queue {
    std::uint32_t oldest = none;
    std::uint32_t newest = none;
    std::uint32_t count = 0;
  };
  struct Held {
    void* packet = nullptr;
    std::uint32_t next = none;
  };

  [[nodiscard]] Queue& queue_of(const Datagram& datagram) {
    return datagram.way == FragmentWay::waiting ? waiting_ : decided_;
  }
  [[nodiscard]] std::uint32_t find(const Key& key, std::uint32_t bucket) const;
  [[nodiscard]] static std::optional<packet::DropReason> take_down(Datagram& datagram,
                                                                   const packet::Fragment& fragment);
  [[nodiscard]] DatagramIndex find_or_add(const Key& key, std::uint64_t hash, std::uint64_t now_ns);
  void make_room();
  void append(Queue& queue, std::uint32_t place);
  void unlink(Queue& queue, std::uint32_t place);
  void give_up_held(Datagram& datagram, packet::DropReason reason);
  void forget(std::uint32_t place, packet::DropReason reason);

  FragmentLimits limits_;
  FragmentOutput& output_;
  std::vector<Datagram> datagrams_;
  std::vector<std::uint32_t> buckets_;  // a power of two; first entry of the chain
  std::vector<Held> held_;
  std::uint32_t free_ = none;  // linked by next_in_bucket
  std::uint32_t free_held_ = none;
  Queue waiting_;
  Queue decided_;
  std::uint32_t size_ = 0;
  std::uint32_t held_count_ = 0;
};

}  // namespace steelyard::l4

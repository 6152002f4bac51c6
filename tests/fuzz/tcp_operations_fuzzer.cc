// Two stacks and a bad link between them: the bytes say what the applications do, which segment comes next, which is
// lost, comes twice or is held back, and how time passes. What is delivered is what was written, in order; the
// invariants hold after every step. At the end the link is good and both sides close: nothing is left.
#include <deque>
#include <optional>

#include "tests/fuzz/tcp_world.h"

namespace steelyard {
namespace {

using fuzz::Bytes;
using fuzz::require;
using fuzz::TcpBuffers;
using fuzz::TcpWorld;
using tcp::Endpoints;
using tcp::Slice;

struct OnTheWay {
  Endpoints endpoints;  // as the receiver sees them
  tcp::SegmentHeader header;
  std::vector<std::uint8_t> payload;
};

class Side final : public TcpWorld {
 public:
  using TcpWorld::TcpWorld;

  void transmit(const Endpoints& to, const tcp::Outgoing& segment) override {
    TcpWorld::transmit(to, segment);
    OnTheWay sent{{to.local, to.remote, to.local_port, to.remote_port}, segment, {}};
    for (const Slice& slice : segment.payload) {
      const std::uint8_t* octets = TcpBuffers::octets(slice);
      sent.payload.insert(sent.payload.end(), octets, octets + slice.length);
    }
    if (out.size() < 512) {
      out.push_back(std::move(sent));
    }
  }
  std::deque<OnTheWay> out;

 private:
  // One connection at a time writes the stream from its beginning: what comes out is that stream.
  void check_delivered(const Peer& peer, const Slice& slice) override {
    for (std::uint32_t place = 0; place < slice.length; ++place) {
      require(TcpBuffers::octets(slice)[place] == fuzz::octet_at(peer.received + place));
    }
  }
};

class Link {
 public:
  explicit Link(std::uint8_t start) {
    Endpoints endpoints{tcp::mapped({0x0100a8c0}), tcp::mapped({0x0200a8c0}), TcpWorld::port, 4'000};
    if ((start & 1U) != 0) {
      endpoints.remote.raw = {1, 2};
      endpoints.local.raw = {3, 4};
    }
    for (Side* side : {&client_, &server_}) {
      side->settings().receive_buffer = (start & 2U) != 0 ? 2'000 : 60'000;
      side->settings().nagle = (start & 4U) != 0;
      side->settings().user_timeout = std::chrono::hours{10};
    }
    client_.add(client_.stack().connect(endpoints, client_.settings(), client_.now()));
  }

  void step(Bytes& input) {
    const std::uint8_t choice = input.byte();
    Side& from = (choice & 1U) != 0 ? client_ : server_;
    Side& to = (choice & 1U) != 0 ? server_ : client_;
    switch ((choice >> 1U) % 8) {
      case 0:
      case 1:
      case 2:
        return pass_on(from, to, 0);
      case 3:
        return from.out.empty() ? void() : pass_on(from, to, input.byte() % from.out.size());
      case 4:
        if (!from.out.empty()) {
          from.out.erase(from.out.begin() + static_cast<std::ptrdiff_t>(input.byte() % from.out.size()));
        }
        return;
      case 5:
        if (!from.out.empty() && from.out.size() < 64) {
          from.out.push_back(from.out[input.byte() % from.out.size()]);
        }
        return;
      case 6: {
        const std::chrono::milliseconds time{input.byte() * (choice >= 0x80U ? 100 : 1)};
        client_.pass(time);
        server_.pass(time);
        return;
      }
      default:
        return act(from, input);
    }
  }

  // Everything arrives from now on, everybody reads, both close: in the end nobody is there.
  void finish() {
    for (int round = 0; round < 3'000 && client_.ids().size() + server_.ids().size() != 0; ++round) {
      for (Side* side : {&client_, &server_}) {
        for (const auto& [index, id] : std::map(side->ids())) {
          side->read(id);
          side->stack().shutdown(id, side->now());
        }
      }
      for (int count = 0; count < 64 && client_.out.size() + server_.out.size() != 0; ++count) {
        pass_on(client_, server_, 0);
        pass_on(server_, client_, 0);
      }
      const std::chrono::milliseconds time{round < 200 ? 50 : 5'000};
      client_.pass(time);
      server_.pass(time);
    }
    require(client_.ids().empty() && server_.ids().empty());
  }

 private:
  static void act(Side& side, Bytes& input) {
    const tcp::ConnectionId id = side.any(input.byte());
    switch (input.byte() % 6) {
      case 0:
      case 1:
        return side.write(id, side.written(), 1U + input.word() % 3'000U);
      case 2:
      case 3:
        return side.read(id);
      case 4:
        return side.stack().shutdown(id, side.now());
      default:
        if (const tcp::Connection* connection = side.stack().find(id); connection != nullptr) {
          const tcp::Sequence quoted = connection->report(side.settings()).send_unacknowledged;
          side.stack().on_path_mtu(*side.stack().endpoints_of(id), quoted, 500U + input.word() % 1'000U, side.now());
        }
        return;
    }
  }

  static void pass_on(Side& from, Side& to, std::size_t place) {
    if (place >= from.out.size()) {
      return;
    }
    const OnTheWay sent = from.out[place];
    from.out.erase(from.out.begin() + static_cast<std::ptrdiff_t>(place));
    tcp::Segment segment;
    static_cast<tcp::SegmentHeader&>(segment) = sent.header;
    if (!sent.payload.empty()) {
      segment.payload = TcpBuffers::make(0, static_cast<std::uint32_t>(sent.payload.size()));
      std::ranges::copy(sent.payload, const_cast<std::uint8_t*>(TcpBuffers::octets(segment.payload)));
    }
    to.stack().on_segment(sent.endpoints, segment, to.now());
    to.check();
  }

  Side client_{11};
  Side server_{12};
};

}  // namespace
}  // namespace steelyard

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steelyard;
  {
    Bytes input(data, size);
    Link link(input.byte());
    while (!input.empty()) {
      link.step(input);
    }
    link.finish();
  }
  require(TcpBuffers::live() == 0);
  return 0;
}

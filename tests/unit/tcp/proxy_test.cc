// A stream from a server to a client through two connections of one stack, as a proxy has them: the window towards the
// server opens by what the client has acknowledged, and no byte is copied. In plain numbers, and with the numbers of
// both connections passing from the largest to 0 in the middle of the stream.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "dataplane/tcp/stack.h"
#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t server_port = 8'080;
constexpr std::uint16_t proxy_port = 80;

Endpoints between(std::uint16_t local, std::uint16_t remote, bool v6) {
  Endpoints endpoints{mapped({1}), mapped({1}), remote, local};
  if (v6) {
    endpoints.remote.raw = endpoints.local.raw = {5, 6};
  }
  return endpoints;
}
Endpoints reversed(const Endpoints& endpoints) {
  return {endpoints.local, endpoints.remote, endpoints.local_port, endpoints.remote_port};
}

// Three stacks on a wire of 5 ms; a buffer passes from one to the other as it is, so that copies would be seen.
struct ProxyWorld {
  bool v6 = false;
  bool wraps = false;
};

class Proxy : public testing::TestWithParam<ProxyWorld> {
 protected:
  struct Node final : StackOutput {
    Node(Proxy& of, std::uint64_t key)
        : proxy(of),
          stack({}, {.lookup = {{key}}, .numbers = {{key, 1}}, .cookies = {{key, 2}}}, memory, *this, of.now_) {}
    void transmit(const Endpoints& to, const Outgoing& segment) override {
      if (segment.has(flag::syn) && segment.has(flag::ack)) {
        initial = segment.sequence;
      }
      for (const Slice& slice : segment.payload) {
        Buffers::retain(slice.buffer);
      }
      proxy.wire_.emplace(proxy.now_ + 5ms,
                          Packet{reversed(to), segment, {segment.payload.begin(), segment.payload.end()}});
    }
    void accepted(ConnectionId connection, ListenerIndex) override { down = connection; }
    void deliver(ConnectionId, const Slice& slice) override { held.push_back(slice); }
    void notify(ConnectionId, Event event) override { finished = finished || event == Event::peer_finished; }
    void over(ConnectionId, Cause) override {}

    Proxy& proxy;
    Memory memory{8'192, Buffers::operations()};
    Stack stack;
    ConnectionId up;    // towards the server
    ConnectionId down;  // towards the client
    std::deque<Slice> held;
    bool finished = false;
    Sequence initial;  // of the connection that it has accepted
    std::uint32_t forwarded = 0;
    std::uint32_t consumed = 0;
  };
  struct Packet {
    Endpoints to;  // as its receiver names them
    SegmentHeader header;
    std::vector<Slice> slices;
  };

  Proxy() {
    std::uint64_t key = 2;
    if (GetParam().wraps) {
      // The time at which the server's numbers are near their end, and a secret with which the proxy's are, too.
      const auto initial = [&](std::uint64_t secret, std::uint16_t local, std::uint16_t remote) {
        return initial_sequence({{secret, 1}}, between(local, remote, GetParam().v6), now_).value;
      };
      now_ += Duration{4} * std::int64_t{0xfff8'0000U - initial(1, server_port, 2'000)};
      while (initial(key, proxy_port, 3'000) < 0xfff6'0000U) {
        ++key;
      }
    }
    server_.emplace(*this, 1);
    proxy_.emplace(*this, key);
    client_.emplace(*this, 3);
    server_->stack.listen({}, server_port, settings_);
    proxy_->stack.listen({}, proxy_port, settings_);
  }
  ~Proxy() override {
    for (auto& [time, packet] : wire_) {
      for (const Slice& slice : packet.slices) {
        Buffers::release(slice.buffer);
      }
    }
    for (Node* node : {&*server_, &*proxy_, &*client_}) {
      for (const Slice& slice : node->held) {
        Buffers::release(slice.buffer);
      }
    }
    server_.reset();
    proxy_.reset();
    client_.reset();
  }

  [[nodiscard]] Node& node_of(std::uint16_t local_port) {
    return local_port == server_port ? *server_ : local_port == proxy_port || local_port == 2'000 ? *proxy_ : *client_;
  }

  [[nodiscard]] bool numbers_have_wrapped(const Node& node) const {
    const Connection* connection = node.stack.find(node.down);
    return connection != nullptr && connection->report(settings_).send_next.value < node.initial.value;
  }

  void run(Duration time) {
    const Time until = now_ + time;
    while (true) {
      Time next = wire_.empty() ? never : wire_.begin()->first;
      for (Node* node : {&*server_, &*proxy_, &*client_}) {
        next = std::min(next, node->stack.deadline(now_));
      }
      if (next > until) {
        now_ = until;
        return;
      }
      now_ = std::max(now_, next);
      for (Node* node : {&*server_, &*proxy_, &*client_}) {
        node->stack.on_timer(now_);
      }
      while (!wire_.empty() && wire_.begin()->first <= now_) {
        const Packet packet = wire_.begin()->second;
        wire_.erase(wire_.begin());
        arrive(packet);
      }
      relay();
      serve();
    }
  }

  // A segment of several slices comes as so many segments: a buffer holds one piece.
  void arrive(const Packet& packet) {
    Stack& stack = node_of(packet.to.local_port).stack;
    Segment segment;
    static_cast<SegmentHeader&>(segment) = packet.header;
    for (std::size_t piece = 0; piece + 1 < packet.slices.size(); ++piece) {
      Segment part = segment;
      part.flags = flag::ack;
      part.payload = packet.slices[piece];
      segment.sequence = segment.sequence + part.payload.length;
      stack.on_segment(packet.to, part, now_);
    }
    if (!packet.slices.empty()) {
      segment.payload = packet.slices.back();
    }
    stack.on_segment(packet.to, segment, now_);
  }

  // The proxy's application.
  void relay() {
    Node& node = *proxy_;
    while (!node.held.empty()) {
      const Slice slice = node.held.front();
      if (node.stack.send(node.down, std::span{&slice, 1}, now_) == 0) {
        break;
      }
      node.forwarded += slice.length;
      node.held.pop_front();
    }
    if (const Connection* down = node.stack.find(node.down)) {
      const std::uint32_t queued = settings_.send_buffer - down->writable(settings_);
      const std::uint32_t acknowledged = node.forwarded - std::min(queued, node.forwarded);
      if (acknowledged > node.consumed) {
        node.stack.consume(node.up, acknowledged - node.consumed, now_);
        node.consumed = acknowledged;
      }
    }
  }
  // The server's: `stream_` as fast as it goes, in slices that fit a segment.
  void serve() {
    Node& node = *server_;
    const Connection* connection = node.stack.find(node.down);
    while (connection != nullptr && written_ < stream_.size() && connection->writable(settings_) != 0) {
      const Slice slice = buffers_.slice(stream_.substr(written_, 1'000));
      if (node.stack.send(node.down, std::span{&slice, 1}, now_) == 0) {
        Buffers::release(slice.buffer);
        return;
      }
      ++made_;
      written_ += slice.length;
    }
  }
  void client_reads() {
    while (!client_->held.empty()) {
      const Slice slice = client_->held.front();
      client_->held.pop_front();
      received_ += Buffers::consume(slice);
      client_->stack.consume(client_->up, slice.length, now_);
    }
  }

  Buffers buffers_;
  Settings settings_{.receive_buffer = 50'000, .send_buffer = 30'000};
  Time now_{1s};
  std::multimap<Time, Packet> wire_;
  std::optional<Node> server_;
  std::optional<Node> proxy_;
  std::optional<Node> client_;
  std::string stream_;
  std::string received_;
  std::size_t written_ = 0;
  int made_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Worlds, Proxy,
                         testing::Values(ProxyWorld{false, false}, ProxyWorld{false, true}, ProxyWorld{true, false},
                                         ProxyWorld{true, true}),
                         [](const auto& world) {
                           return std::string{world.param.v6 ? "IPv6" : "IPv4"} +
                                  (world.param.wraps ? "AcrossWrap" : "");
                         });

TEST_P(Proxy, slow_reader_stops_backend_and_resumes_byte_exact) {
  for (std::size_t octet = 0; octet < 1'000'000; ++octet) {
    stream_ += static_cast<char>(octet * 31 >> 7U);
  }
  client_->up = client_->stack.connect(between(3'000, proxy_port, GetParam().v6), settings_, now_);
  proxy_->up = proxy_->stack.connect(between(2'000, server_port, GetParam().v6), settings_, now_);
  run(60s);  // and the client does not read
  EXPECT_LE(written_, 50'000U + 50'000U + 2 * 30'000U + 4'000U) << "what all buffers on the way may hold";
  EXPECT_GE(written_, 100'000U);
  EXPECT_LE(buffers_.live(), 170);
  const std::size_t stopped_at = written_;
  run(300s);
  EXPECT_EQ(written_, stopped_at);
  EXPECT_NE(proxy_->stack.find(proxy_->up), nullptr) << "nobody has been given up";
  EXPECT_NE(proxy_->stack.find(proxy_->down), nullptr);
  for (int round = 0; round < 20'000 && received_.size() < stream_.size(); ++round) {
    client_reads();
    run(10ms);
    ASSERT_LE(buffers_.live(), 170);
  }
  EXPECT_TRUE(received_ == stream_);
  EXPECT_EQ(numbers_have_wrapped(*server_), GetParam().wraps);
  EXPECT_EQ(numbers_have_wrapped(*proxy_), GetParam().wraps);
  EXPECT_EQ(made_, 1'000) << "no buffer but the server's was ever made: nothing was copied";
}

}  // namespace
}  // namespace steelyard::tcp::test

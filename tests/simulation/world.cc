#include "tests/simulation/world.h"

#include <algorithm>

#include "dataplane/tcp/wire.h"

namespace steelyard::simulation {
namespace {

constexpr std::uint64_t most_events = 3'000'000;
constexpr Duration longest_run = std::chrono::hours{4};

std::uint32_t ip_header(bool v6) {
  return v6 ? packet::Ipv6::header_size : packet::Ipv4::header_size;
}

}  // namespace

World::World(const Plan& plan, std::uint64_t seed, std::FILE* trace)
    : plan_(plan), random_(seed ^ 0x73696d756c617465U), trace_(trace), link_(plan_.link, ip_header(plan_.v6), random_) {
  for (std::uint8_t number = 0; number < 2; ++number) {
    hosts_[number] = std::make_unique<Host>(number, plan_, endpoints_of(number), random_, *this, now_);
  }
}

Endpoints World::endpoints_of(std::uint8_t host) const {
  Endpoints endpoints{tcp::mapped({__builtin_bswap32(0xc0000202U)}), tcp::mapped({__builtin_bswap32(0xc0000201U)}),
                      Host::listening_port, Host::client_port};
  if (plan_.v6) {
    endpoints.remote.raw = {0x33, 0x44};
    endpoints.local.raw = {0x11, 0x22};
  }
  if (host == 1) {
    std::swap(endpoints.remote, endpoints.local);
    std::swap(endpoints.remote_port, endpoints.local_port);
  }
  return endpoints;
}

void World::open() {
  if (plan_.simultaneous) {
    hosts_[1]->connect(now_);
  } else {
    hosts_[1]->listen();
  }
  hosts_[0]->connect(now_);
}

Result World::run() {
  open();
  bool both_done = false;
  while (step(tcp::never)) {
    const bool done = (hosts_[0]->has_all() && hosts_[1]->has_all()) || (hosts_[0]->cause() && hosts_[1]->cause());
    if (done && !both_done) {
      both_done = true;
      result_.took = now_ - begin;
    }
    if (hosts_[0]->cause() && hosts_[0]->is_empty() && hosts_[1]->is_empty()) {
      hosts_[0]->check_end(*hosts_[1], plan_.is_orderly());
      hosts_[1]->check_end(*hosts_[0], plan_.is_orderly());
      break;
    }
    if (now_ - begin > longest_run) {
      fail("it takes too long");
    }
  }
  finish();
  return result_;
}

Result World::transfer(Duration limit) {
  open();
  while (!hosts_[1]->has_all() && step(begin + limit)) {
  }
  result_.took = now_ - begin;
  finish();
  return result_;
}

bool World::step(Time limit) {
  const Time next = std::min({link_.next(), hosts_[0]->deadline(now_), hosts_[1]->deadline(now_)});
  if (next == tcp::never) {
    fail("nothing will ever happen");
  } else if (++result_.events > most_events) {
    fail("it does not end");
  }
  if (!result_.failure.empty()) {
    return false;
  }
  if (next > limit) {
    now_ = limit;
    return false;
  }
  now_ = std::max(now_, next);
  if (link_.next() <= now_) {
    const Packet packet = link_.take();
    receive(packet);
    check(packet.to);
  } else {
    for (std::uint8_t number = 0; number < 2; ++number) {
      if (hosts_[number]->deadline(now_) <= now_) {
        hosts_[number]->on_time(now_);
        check(number);
      }
    }
  }
  return result_.failure.empty();
}

// Of the host that something has happened to.
void World::check(std::uint8_t number) {
  hosts_[number]->check(*hosts_[1U - number]);
  if (!hosts_[number]->failure().empty()) {
    fail(hosts_[number]->failure());
  }
}

void World::receive(const Packet& packet) {
  if (packet.kind == Packet::Kind::segment) {
    receive_segment(packet.to, packet.bytes);
  } else {
    hosts_[packet.to]->on_path_mtu(tcp::read_header(packet.bytes).sequence, packet.mtu, now_);
  }
}

void World::receive_segment(std::uint8_t number, std::span<const std::uint8_t> bytes) {
  Host& host = *hosts_[number];
  const std::size_t header = std::size_t{bytes[12]} >> 4U << 2U;
  if (!tcp::checksum_is_right(bytes, endpoints_of(number)) || header > bytes.size()) {
    return;
  }
  tcp::Segment segment;
  static_cast<tcp::SegmentHeader&>(segment) = tcp::read_header(bytes);
  if (bytes.size() > header) {
    segment.payload =
        host.buffers().slice({reinterpret_cast<const char*>(bytes.data()) + header, bytes.size() - header});
  }
  host.on_segment(segment, now_);
}

tcp::Options World::through_middleboxes(const tcp::Outgoing& segment) const {
  tcp::Options options = segment.options;
  if (segment.has(tcp::flag::syn)) {
    options.sack_permitted = options.sack_permitted && !plan_.link.strip_sack;
    options.has_timestamps = options.has_timestamps && !plan_.link.strip_timestamps;
    options.has_window_scale = options.has_window_scale && !plan_.link.strip_scale;
  }
  return options;
}

void World::transmit(std::uint8_t from, const Endpoints& endpoints, const tcp::Outgoing& original) {
  tcp::SegmentHeader header = original;
  header.options = through_middleboxes(original);
  std::vector<std::uint8_t> bytes(tcp::largest_tcp_header);
  bytes.reserve(plan_.mtu);
  bytes.resize(tcp::write_header(std::span<std::uint8_t, tcp::largest_tcp_header>{bytes}, endpoints, header));
  const std::size_t size = bytes.size();
  tcp::PiecewiseSum sum;
  for (const tcp::Slice& slice : original.payload) {
    const std::string_view piece = Buffers::bytes(slice);
    const std::span octets{reinterpret_cast<const std::uint8_t*>(piece.data()), piece.size()};
    if (piece.empty() || piece.size() != slice.length) {
      fail("an outgoing slice is empty or not its buffer's");
    }
    sum.add(octets);
    bytes.insert(bytes.end(), octets.begin(), octets.end());
  }
  const std::size_t payload = bytes.size() - size;
  tcp::store_checksum(std::span{bytes}.first(size), endpoints, payload, sum.value());
  if (bytes.size() + ip_header(plan_.v6) > plan_.mtu) {
    fail("a packet is longer than the link's MTU");
  }
  link_.send(static_cast<std::uint8_t>(1 - from), std::move(bytes), now_, [&](Fate fate) {
    ++result_.segments;
    result_.dropped += fate == Fate::lost || fate == Fate::overflowed ? 1U : 0U;
    tell(from, original, payload, fate);
  });
}

void World::tell(std::uint8_t from, const tcp::Outgoing& segment, std::size_t payload, Fate fate) const {
  if (trace_ == nullptr) {
    return;
  }
  constexpr std::array<const char*, 5> fates{"", " LOST", " CORRUPTED", " OVERFLOWED", " TOO LONG"};
  constexpr std::string_view letters = "FSRPAUEC";
  std::string flags;
  for (std::size_t bit = 0; bit < letters.size(); ++bit) {
    flags += segment.has(static_cast<std::uint8_t>(1U << bit)) ? std::string(1, letters[bit]) : "";
  }
  std::string options;
  for (const tcp::SackBlock& block : segment.options.sack_blocks()) {
    options += " sack " + std::to_string(block.begin.value) + "-" + std::to_string(block.end.value);
  }
  if (segment.options.has_timestamps) {
    options +=
        " ts " + std::to_string(segment.options.timestamp) + "," + std::to_string(segment.options.timestamp_echo);
  }
  const tcp::Connection* connection = hosts_[from] == nullptr ? nullptr : hosts_[from]->connection();
  const auto report = connection == nullptr ? tcp::ConnectionReport{} : connection->report(hosts_[from]->settings());
  std::fprintf(trace_, "%12.6f %d %-4s seq %u len %zu ack %u win %u%s%s   (cwnd %u flight %u state %d)\n",
               std::chrono::duration<double>(now_ - begin).count(), from, flags.c_str(), segment.sequence.value,
               payload, segment.acknowledgment.value, segment.window, options.c_str(),
               fates[static_cast<std::size_t>(fate)], report.window, report.in_flight, static_cast<int>(report.state));
}

void World::finish() {
  for (std::size_t number = 0; number < 2; ++number) {
    result_.received[number] = hosts_[number]->received();
    result_.retransmitted += hosts_[number]->retransmitted();
    if (!hosts_[number]->failure().empty()) {
      fail(hosts_[number]->failure());
    }
  }
}

void World::fail(const std::string& what) {
  if (result_.failure.empty()) {
    result_.failure = what + " at " + std::to_string((now_ - begin).count()) + " us; " + progress();
  }
}

std::string World::progress() const {
  return hosts_[0]->progress() + " " + hosts_[1]->progress();
}

}  // namespace steelyard::simulation

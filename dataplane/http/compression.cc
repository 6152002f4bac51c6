// Bodies of answers, gzipped on their way: from the server's slices through a compressor into buffers of ours, each a
// chunk. Unlike all else that the proxy does this costs time by the octet, so it is bounded by the turn: answers that
// have something to be compressed are marked when it comes, and served in rounds, a piece each. What is not compressed
// stays unread, so that the server's window closes. Where the worker cannot do it besides everything else, new answers
// go as they are.
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include "dataplane/http/content_coding.h"
#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

// Of content in a turn, over all answers: 0.1 ms of text, 0.5 of what hardly compresses. Larger turns would not
// compress more, only make packets wait for longer: a turn without work costs a microsecond.
constexpr std::size_t octets_a_turn = 8'192;
// The same while packets come faster than the worker takes them.
constexpr std::size_t octets_a_late_turn = 1'024;
// Of one answer before it is another one's turn.
constexpr std::size_t octets_at_once = 4'096;
// What calls of zlib cost beside their octets, as so many of them: a sync, however little there is, takes 2
// microseconds.
constexpr std::size_t cost_of_call = 16;
constexpr std::size_t cost_of_sync = 256;
// Answers left over from the turn before, from which on no new one is compressed: they wait for a millisecond already.
constexpr int most_left_over = 16;
// Of the buffers: new answers are compressed while so many are free, and those under way go on as long as heads find
// room, too. What slow readers have not acknowledged holds them.
constexpr unsigned free_eighths_to_begin = 4;
constexpr unsigned free_eighths_to_go_on = 1;
// How long the client waits for what the server has said before silence: long enough for the next segments to join it.
constexpr tcp::Duration flush_after = std::chrono::milliseconds{1};

// A chunk in its buffer: its size and CR LF, right in front of the data; behind them CR LF, and perhaps the last chunk.
constexpr std::size_t room_before = 6;
constexpr std::string_view line_end = "\r\n";
constexpr std::string_view last_chunk = "0\r\n";
constexpr std::string_view last_chunk_without_trailers = "0\r\n\r\n";
constexpr std::size_t room_behind = line_end.size() + last_chunk_without_trailers.size();

constexpr std::uint64_t mark_of(CompressorIndex index) {
  return std::uint64_t{1} << index;
}

// Where the next data go.
std::span<std::uint8_t> space_in(const Compression& compression) {
  const std::span<std::uint8_t> octets = compression.room->octets;
  return octets.subspan(room_before + compression.filled,
                        octets.size() - room_before - room_behind - compression.filled);
}

}  // namespace

// Is the answer's body to be compressed? If so, it has a compressor.
bool Proxy::Machine::begin_compression(ExchangeIndex x, const ResponseHead& head) {
  Exchange& exchange = exchange_at(x);
  const std::optional<service::Gzip>& gzip = settings_of(exchange.listener).gzip;
  if (!gzip || exchange.method == Method::head || !is_compressible(head, *gzip)) {
    return false;
  }
  exchange.tells_vary = !tells_coding_varies(head.fields.all());
  if (!exchange.accepts_gzip) {
    return false;
  }
  const Ground::Slack slack = ground_.slack();
  const bool has_time = slack.keeps_up && std::popcount(left_over_) < most_left_over;
  const bool has_room = slack.free_eighths >= free_eighths_to_begin && !ground_.memory().pressure().scarce();
  const CompressorIndex index = has_time && has_room ? compressors_.take() : no_compressor;
  if (index == no_compressor) {
    counters_.gzip_skipped.add();
    return false;
  }
  counters_.gzip_answers.add();
  compressions_[index].exchange = x;
  exchange.compressor = index;
  return true;
}

void Proxy::Machine::end_compression(Exchange& exchange) {
  const CompressorIndex index = exchange.compressor;
  if (compressions_[index].room) {
    ground_.memory().release(compressions_[index].room->slice);
  }
  compressions_[index] = Compression{};
  compressors_.give_back(index);
  exchange.compressor = no_compressor;
  for (std::uint64_t* marks : {&compressing_, &roomless_, &holding_}) {
    *marks &= ~mark_of(index);
  }
}

// How many answers have had a turn.
std::size_t Proxy::Machine::serve_compressions() {
  for (std::uint64_t rest = holding_; rest != 0; rest &= rest - 1) {
    const auto index = static_cast<CompressorIndex>(std::countr_zero(rest));
    if (now_ - compressions_[index].held_since >= flush_after) {
      compressing_ |= mark_of(index);
    }
  }
  left_over_ = compressing_;
  if (compressing_ == 0) {
    return 0;
  }
  const Ground::Slack slack = ground_.slack();
  if (slack.free_eighths < free_eighths_to_go_on) {
    return 0;
  }
  std::size_t budget = slack.keeps_up ? octets_a_turn : octets_a_late_turn;
  std::size_t served = 0;
  while (compressing_ != 0 && budget != 0) {
    // The next one behind the one that was served last, round and round.
    const std::uint64_t behind = compressing_ & (~std::uint64_t{0} << next_compressed_);
    const auto index = static_cast<CompressorIndex>(std::countr_zero(behind != 0 ? behind : compressing_));
    next_compressed_ = static_cast<CompressorIndex>((index + 1) % most_compressors);
    compressing_ &= ~mark_of(index);
    holding_ &= ~mark_of(index);
    const std::size_t piece = std::min(budget, octets_at_once);
    std::size_t left = piece;
    pass_compressed(compressions_[index].exchange, left);
    budget -= piece - left;
    ++served;
  }
  served -= static_cast<std::size_t>(std::popcount(roomless_));
  left_over_ = compressing_ |= std::exchange(roomless_, 0);
  return served;
}

// As pass_answer_body(), for as much work as `left` octets are, which it diminishes.
void Proxy::Machine::pass_compressed(ExchangeIndex x, std::size_t& left) {
  switch (compress_body(x, left)) {
    case Passed::complete:
      return finish(x);
    case Passed::refused:
      return fail_silently(x, Cause::answer_cut_short);
    case Passed::waits:
      break;
  }
  arm(x);
}

Proxy::Machine::Passed Proxy::Machine::compress_body(ExchangeIndex x, std::size_t& left) {
  Exchange& exchange = exchange_at(x);
  const CompressorIndex index = exchange.compressor;
  Compression& compression = compressions_[index];
  const Link& client = at(exchange.client);
  while (!compression.ended) {
    if (!flush(exchange.client) || client.blocked || client.over) {
      return Passed::waits;  // serve_client() marks it again
    }
    const Content content = find_content(exchange);
    if (content == Content::cut) {
      return Passed::refused;
    }
    const bool due = now_ - compression.held_since >= flush_after;
    if (content == Content::none && !due) {
      holding_ |= compression.held_since != tcp::never ? mark_of(index) : 0;
      return Passed::waits;
    }
    if (left == 0) {
      compressing_ |= mark_of(index);
      return Passed::waits;
    }
    if (compression.room && space_in(compression).size() < GzipPool::least_room) {
      send_chunk(exchange, {});
      continue;
    }
    if (!compression.room && !(compression.room = ground_.allocate())) {
      roomless_ |= mark_of(index);
      return Passed::waits;
    }
    compress_piece(exchange, content, left);
  }
  return pass_trailers(exchange);
}

// Goes on to the content: how much of it stands at the front of what the server has sent is `owed`.
Proxy::Machine::Content Proxy::Machine::find_content(Exchange& exchange) {
  Compression& compression = compressions_[exchange.compressor];
  const Link& server = at(exchange.server);
  BodyReader& reader = exchange.response_body;
  while (compression.owed == 0 && !reader.content_ended() && !server.received.empty()) {
    const tcp::Slice& slice = server.received.front(ground_.memory());
    const BodyReader::Step step = reader.next({ground_.data_of(slice), slice.length});
    const auto octets = static_cast<std::uint32_t>(step.octets);
    switch (step.kind) {
      case BodyReader::Step::Kind::pass:
        compression.owed = octets;
        break;
      case BodyReader::Step::Kind::drop:
        exchange.moved = true;
        read(exchange.server, octets);
        break;
      case BodyReader::Step::Kind::refuse:
        return Content::cut;
    }
  }
  if (compression.owed != 0) {
    return Content::some;
  }
  if (reader.content_ended()) {
    return Content::complete;
  }
  if (!has_ended(server)) {
    return Content::none;
  }
  return reader.kind() == BodyKind::until_close && has_ended_in_order(server) ? Content::complete : Content::cut;
}

// There is room.
void Proxy::Machine::compress_piece(Exchange& exchange, Content content, std::size_t& left) {
  Compression& compression = compressions_[exchange.compressor];
  std::span<const std::uint8_t> input;
  if (content == Content::some) {
    const tcp::Slice& slice = at(exchange.server).received.front(ground_.memory());
    input = {ground_.data_of(slice), std::min<std::size_t>(compression.owed, left)};
  }
  const auto flush = content == Content::some       ? GzipPool::Flush::none
                     : content == Content::complete ? GzipPool::Flush::finish
                                                    : GzipPool::Flush::sync;
  const GzipPool::Progress progress = compressors_.compress(exchange.compressor, input, space_in(compression), flush);
  exchange.moved = true;
  left -= std::min(left, progress.taken + (flush == GzipPool::Flush::none ? cost_of_call : cost_of_sync));
  compression.filled += progress.written;
  if (progress.taken != 0) {
    const auto taken = static_cast<std::uint32_t>(progress.taken);
    compression.owed -= taken;
    read(exchange.server, taken);
    exchange.record.gzip_in += taken;
    counters_.gzip_octets_in.add(taken);
    compression.held_since = std::min(compression.held_since, now_);
  }
  if (progress.done && flush != GzipPool::Flush::none) {
    const bool has_trailers = exchange.response_body.kind() == BodyKind::chunked;
    compression.held_since = tcp::never;
    compression.ended = flush == GzipPool::Flush::finish;
    send_chunk(exchange, !compression.ended ? "" : has_trailers ? last_chunk : last_chunk_without_trailers);
  }
}

// Sends what is in the room, and `end`.
void Proxy::Machine::send_chunk(Exchange& exchange, std::string_view end) {
  Compression& compression = compressions_[exchange.compressor];
  std::uint8_t* const octets = compression.room->octets.data();
  std::size_t begin = room_before;
  std::size_t at = room_before;
  const auto put = [&](std::string_view text) {
    std::ranges::copy(text, octets + at);
    at += text.size();
  };
  if (compression.filled != 0) {
    std::array<char, room_before - line_end.size()> digits{};
    const char* const digits_end =
        std::to_chars(digits.data(), digits.data() + digits.size(), compression.filled, 16).ptr;
    const std::string_view size(digits.data(), digits_end);
    begin = at = room_before - line_end.size() - size.size();
    put(size);
    put(line_end);
    at += compression.filled;
    put(line_end);
  }
  put(end);
  if (at == begin) {
    return;
  }
  tcp::Slice slice = compression.room->slice;
  slice.length = static_cast<std::uint32_t>(at);
  slice = slice.from(static_cast<std::uint32_t>(begin));
  exchange.record.octets_out += slice.length;
  exchange.record.gzip_out += compression.filled;
  counters_.gzip_octets_out.add(compression.filled);
  compression.room.reset();
  compression.filled = 0;
  send(exchange.client, std::span(&slice, 1));
}

// What follows the last chunk.
Proxy::Machine::Passed Proxy::Machine::pass_trailers(Exchange& exchange) {
  if (exchange.response_body.kind() != BodyKind::chunked) {
    return Passed::complete;
  }
  bool moved = false;
  const Passed passed =
      pass_body(exchange.server, exchange.client, exchange.response_body, moved, exchange.record.octets_out);
  exchange.moved = exchange.moved || moved;
  return passed == Passed::waits && has_ended(at(exchange.server)) ? Passed::refused : passed;
}

}  // namespace steelyard::http

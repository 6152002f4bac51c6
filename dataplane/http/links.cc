// Connections: making them, sending, reading, closing.
#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

// How long what a peer still sends is thrown away once all that we had to say is TCP's.
constexpr tcp::Duration linger = std::chrono::seconds{5};
// Slices that are sent by one call.
constexpr std::size_t slices_at_once = 16;
constexpr std::uint32_t octets_a_slice = 1'448;  // as a rule: a full segment

}  // namespace

LinkIndex Proxy::Machine::make_link(tcp::ConnectionId connection, Side side) {
  const LinkIndex index = free_links_;
  if (index == nobody) {
    return nobody;
  }
  Link& link = at(index);
  free_links_ = link.next;
  link = Link{};
  link.id = connection;
  link.side = side;
  by_connection_[connection.index] = index;
  (side == Side::client ? counters_.clients : counters_.servers).add();
  return index;
}

// Of a connection that is over, or whose end nobody waits for any more.
void Proxy::Machine::free_link(LinkIndex index) {
  Link& link = at(index);
  if (link.side == Side::client && link.next != nobody) {
    close_idle(link.next);  // the server's connection that was this client's alone
  }
  (link.side == Side::client ? counters_.clients : counters_.servers).subtract();
  link.received.clear(ground_.memory());
  link.unsent.clear(ground_.memory());
  wheel_.cancel(index);
  if (!link.over) {
    by_connection_[link.id.index] = nobody;
  }
  link.side = Side::none;
  if (link.ready) {
    return;  // still in the list of those that are ready: work() finds it without a side, and then it is free
  }
  link.next = free_links_;
  free_links_ = index;
}

void Proxy::Machine::set_deadline(LinkIndex index, tcp::Time when) {
  at(index).deadline = when;
  wheel_.schedule(index, when);
}

void Proxy::Machine::send(LinkIndex index, std::span<const tcp::Slice> slices, Then then) {
  Link& link = at(index);
  std::size_t taken = 0;
  if (!link.over && !link.shut && link.unsent.empty()) {
    const bool last = then == Then::fin;
    taken = last ? ground_.send_last(link.id, slices, now_) : ground_.send(link.id, slices, now_);
    if (taken < slices.size()) {
      note_blocked(index);
    } else {
      link.shut = last;
      return;
    }
  }
  hold(index, slices.subspan(taken));
}

void Proxy::Machine::hold(LinkIndex index, std::span<const tcp::Slice> slices) {
  Link& link = at(index);
  for (const tcp::Slice& slice : slices) {
    if (link.over || link.shut || !link.unsent.push(ground_.memory(), slice)) {
      ground_.memory().release(slice);
      link.broken = true;  // octets are missing: nothing after them may be sent
    }
  }
  if (link.broken) {
    wake(index);
  }
}

void Proxy::Machine::note_blocked(LinkIndex index) {
  at(index).blocked = true;
  // TCP tells of room in the send buffer, but not of nodes.
  const tcp::Memory& memory = ground_.memory();
  if (memory.available() <= memory.reserve() && starved_.size() < starved_.capacity()) {
    starved_.push_back(index);
  }
}

// Those who were refused for want of nodes try again.
void Proxy::Machine::feed_starved() {
  const tcp::Memory& memory = ground_.memory();
  if (starved_.empty() || memory.available() <= memory.reserve()) {
    return;
  }
  for (const LinkIndex index : starved_) {
    if (at(index).side != Side::none) {
      at(index).blocked = false;
      wake(index);
    }
  }
  starved_.clear();
}

// Is everything sent?
bool Proxy::Machine::flush(LinkIndex index) {
  Link& link = at(index);
  const std::uint32_t before = link.unsent.octets();
  tcp::Memory& memory = ground_.memory();
  std::array<tcp::Slice, slices_at_once> batch;
  while (!link.unsent.empty() && !link.over && !link.blocked) {
    std::size_t count = 0;
    link.unsent.visit(memory, [&](const tcp::Slice& slice) {
      memory.retain(slice);
      batch[count++] = slice;
      return count < batch.size();
    });
    const std::size_t taken = ground_.send(link.id, std::span(batch).first(count), now_);
    for (std::size_t place = 0; place < taken; ++place) {
      memory.release(link.unsent.pop(memory));
    }
    for (const tcp::Slice& slice : std::span(batch).first(count).subspan(taken)) {
      memory.release(slice);
    }
    if (taken < count) {
      note_blocked(index);
    }
  }
  if (link.unsent.octets() != before) {
    if (link.exchange != nobody) {
      exchange_at(link.exchange).moved = true;
    } else if (link.lingering) {
      set_deadline(index, now_ + settings_of(link.listener).request_timeout);
    }
  }
  return link.unsent.empty();
}

void Proxy::Machine::read(LinkIndex index, std::uint32_t octets) {
  Link& link = at(index);
  for (std::uint32_t left = octets; left > 0;) {
    const std::uint32_t step = std::min(left, link.received.front(ground_.memory()).length);
    link.received.trim(ground_.memory(), step);
    left -= step;
  }
  if (!link.over && octets != 0) {
    ground_.consume(link.id, octets, now_);
  }
}

void Proxy::Machine::close_gently(LinkIndex index) {
  Link& link = at(index);
  if (link.over || link.lingering) {
    return;
  }
  link.lingering = true;
  set_deadline(index, now_ + (link.shut ? linger : settings_of(link.listener).request_timeout));
  wake(index);
}

// Goes on with a connection that is closing.
void Proxy::Machine::serve_lingering(LinkIndex index) {
  Link& link = at(index);
  if (link.over) {
    return free_link(index);
  }
  read(index, link.received.octets());
  if (!flush(index)) {
    return;
  }
  if (!link.shut) {
    link.shut = true;
    ground_.shutdown(link.id, now_);
    set_deadline(index, now_ + linger);
  }
  if (link.peer_finished && !link.over) {
    ground_.close(link.id, now_);
    free_link(index);
  }
}

void Proxy::Machine::abort(LinkIndex index) {
  Link& link = at(index);
  if (!link.over) {
    const std::uint32_t connection = link.id.index;
    ground_.abort(link.id, now_);
    if (!link.over) {
      by_connection_[connection] = nobody;
      link.over = true;
      link.cause = tcp::Cause::aborted;
    }
  }
  wake(index);
}

std::span<const std::uint8_t> Proxy::Machine::gather(const Link& link, std::size_t count) {
  const tcp::Memory& memory = ground_.memory();
  const tcp::Slice& first = link.received.front(memory);
  if (first.length >= count) {
    return {ground_.data_of(first), count};
  }
  std::size_t at = 0;
  link.received.visit(memory, [&](const tcp::Slice& slice) {
    const std::size_t octets = std::min<std::size_t>(slice.length, count - at);
    std::memcpy(scratch_.data() + at, ground_.data_of(slice), octets);
    at += octets;
    return at < count;
  });
  return std::span(scratch_).first(count);
}

std::optional<std::size_t> Proxy::Machine::head_end(Link& link) {
  std::optional<std::size_t> end;
  std::size_t at = 0;
  link.received.visit(ground_.memory(), [&](const tcp::Slice& slice) {
    const std::size_t begin = at;
    at += slice.length;
    if (at <= link.scanned) {
      return true;
    }
    const std::size_t skip = link.scanned - begin;
    const auto found = link.scanner.scan({ground_.data_of(slice) + skip, slice.length - skip});
    if (found) {
      end = link.scanned + *found;
      return false;
    }
    link.scanned = static_cast<std::uint32_t>(at);
    return true;
  });
  return end;
}

Proxy::Machine::Passed Proxy::Machine::pass_body(LinkIndex from_index, LinkIndex to_index, BodyReader& reader,
                                                 bool& moved, std::uint64_t& octets, Then then) {
  Link& from = at(from_index);
  Link& to = at(to_index);
  tcp::Memory& memory = ground_.memory();
  std::array<tcp::Slice, slices_at_once> batch;
  // What a full connection does not take of them is ours to hold: so where buffers are short they are few.
  const std::size_t most = std::clamp<std::size_t>(memory.pressure().share() / octets_a_slice, 1, batch.size());
  std::size_t count = 0;
  std::uint32_t taken = 0;  // of `from`
  bool refused = false;
  const auto hand_over = [&] {
    send(to_index, std::span(batch).first(count), reader.complete() && !refused ? then : Then::more);
    count = 0;
    if (taken != 0 && !from.over) {
      ground_.consume(from.id, taken, now_);
    }
    moved = moved || taken != 0;
    taken = 0;
  };
  // What is held goes in front of it.
  if (!to.blocked && !to.over && to.unsent.slices() < batch.size()) {
    while (!to.unsent.empty()) {
      batch[count++] = to.unsent.pop(memory);
    }
  }
  while (!from.received.empty() && !reader.complete() && !refused && (count != 0 || flush(to_index)) && !to.blocked &&
         !to.over) {
    while (count < most && !from.received.empty() && !reader.complete()) {
      const tcp::Slice slice = from.received.front(memory);
      const BodyReader::Step step = reader.next({ground_.data_of(slice), slice.length});
      if (step.kind == BodyReader::Step::Kind::refuse) {
        refused = true;
        break;
      }
      const auto length = static_cast<std::uint32_t>(step.octets);
      taken += length;
      if (step.kind == BodyReader::Step::Kind::pass) {
        octets += length;
        if (length == slice.length) {
          batch[count++] = from.received.pop(memory);
          continue;
        }
        memory.retain(slice);
        batch[count++] = slice.first(length);
      }
      from.received.trim(memory, length);
    }
    hand_over();
  }
  if (count != 0) {
    hand_over();
  }
  if (refused) {
    return Passed::refused;
  }
  return reader.complete() ? Passed::complete : Passed::waits;
}

}  // namespace steelyard::http

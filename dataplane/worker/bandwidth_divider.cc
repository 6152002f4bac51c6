#include "dataplane/worker/bandwidth_divider.h"

#include <algorithm>
#include <numeric>

namespace steelyard::worker {
namespace {

// A worker without traffic keeps its part of a fiftieth of the rate: it is seen to need more by what it drops.
constexpr std::uint64_t idle_fraction = 50;

}  // namespace

void divide_rate(std::uint64_t rate, std::span<const std::uint64_t> offered, std::span<std::uint64_t> parts) {
  const std::uint64_t workers = offered.size();
  const std::uint64_t least = rate / idle_fraction / workers;
  std::vector<std::size_t> order(offered.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [offered](std::size_t worker) { return offered[worker]; });
  std::uint64_t rest = rate;
  std::uint64_t left = workers;
  for (const std::size_t worker : order) {
    // A quarter more than it had, so that it can grow until the next time.
    const std::uint64_t wish = std::max(offered[worker] + offered[worker] / 4, least);
    parts[worker] = std::min(wish, rest / left);
    rest -= parts[worker];
    --left;
  }
  for (std::uint64_t& part : parts) {
    part += rest / workers;
  }
}

std::uint64_t BandwidthDivider::offered(std::size_t worker, service::ListenerId listener) const {
  const l4::BandwidthMeter& meter = (*workers_[worker].meters)[listener.value];
  return meter.passed_bytes.get() + meter.dropped_bytes.get();
}

void BandwidthDivider::set_limits(std::span<const BandwidthLimit> limits) {
  std::vector<Entry> next;
  next.reserve(limits.size());
  auto place = entries_.begin();
  for (const BandwidthLimit& limit : limits) {
    place = std::find_if(place, entries_.end(),
                         [&limit](const Entry& entry) { return entry.limit.listener >= limit.listener; });
    const auto known = place != entries_.end() && place->limit.listener == limit.listener ? place : entries_.end();
    Entry entry{limit, {}};
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
      entry.seen.push_back(known != entries_.end() ? known->seen[worker] : offered(worker, limit.listener));
      if (known == entries_.end() || known->limit.rate != limit.rate) {
        (*workers_[worker].shares)[limit.listener.value].set(0);
      }
    }
    next.push_back(std::move(entry));
  }
  entries_ = std::move(next);
}

void BandwidthDivider::divide(std::uint64_t now_ns) {
  const std::uint64_t elapsed = now_ns - last_ns_;
  if (elapsed < interval_ns) {
    return;
  }
  last_ns_ = now_ns;
  std::vector<std::uint64_t> rates(workers_.size());
  std::vector<std::uint64_t> parts(workers_.size());
  for (Entry& entry : entries_) {
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
      const std::uint64_t bytes = offered(worker, entry.limit.listener);
      const auto seconds = static_cast<double>(elapsed) / 1e9;
      rates[worker] = static_cast<std::uint64_t>(static_cast<double>(bytes - entry.seen[worker]) / seconds);
      entry.seen[worker] = bytes;
    }
    divide_rate(entry.limit.rate, rates, parts);
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
      // 0 would mean that nothing was divided yet.
      (*workers_[worker].shares)[entry.limit.listener.value].set(std::max<std::uint64_t>(parts[worker], 1));
    }
  }
}

}  // namespace steelyard::worker

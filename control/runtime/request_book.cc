#include "control/runtime/request_book.h"

#include <numeric>

namespace steelyard::control {
namespace {

void add(RequestTimes& sum, const http::Durations& times) {
  for (std::size_t bucket = 0; bucket < sum.counts.size(); ++bucket) {
    sum.counts[bucket] += times.count(bucket);
  }
  sum.sum_us += times.sum_us();
}
template <std::size_t size>
void add(std::array<std::uint64_t, size>& sum, const std::array<service::Counter, size>& counters) {
  for (std::size_t place = 0; place < size; ++place) {
    sum[place] += counters[place].get();
  }
}

ListenerRequests counted(const worker::Dataplane& dataplane, service::ListenerId id) {
  ListenerRequests sum;
  for (std::size_t worker = 0; worker < dataplane.workers(); ++worker) {
    if (const http::ListenerRequests* own = dataplane.requests(worker, id)) {
      add(sum.by_class, own->by_class);
      add(sum.by_cause, own->by_cause);
      for (std::size_t part = 0; part < sum.times.size(); ++part) {
        add(sum.times[part], own->times[part]);
      }
    }
  }
  return sum;
}

ServerRequests counted(const worker::Dataplane& dataplane, service::BackendId id) {
  ServerRequests sum;
  for (std::size_t worker = 0; worker < dataplane.workers(); ++worker) {
    if (const http::ServerRequests* own = dataplane.requests(worker, id)) {
      add(sum.by_class, own->by_class);
      add(sum.first_octet, own->first_octet);
    }
  }
  return sum;
}

void subtract(std::uint64_t& from, std::uint64_t what) {
  from -= what;
}
void subtract(RequestTimes& from, const RequestTimes& what);
template <class Element, std::size_t size>
void subtract(std::array<Element, size>& from, const std::array<Element, size>& what) {
  for (std::size_t place = 0; place < size; ++place) {
    subtract(from[place], what[place]);
  }
}
void subtract(RequestTimes& from, const RequestTimes& what) {
  subtract(from.counts, what.counts);
  subtract(from.sum_us, what.sum_us);
}
void subtract(ListenerRequests& from, const ListenerRequests& what) {
  subtract(from.by_class, what.by_class);
  subtract(from.by_cause, what.by_cause);
  subtract(from.times, what.times);
}
void subtract(ServerRequests& from, const ServerRequests& what) {
  subtract(from.by_class, what.by_class);
  subtract(from.first_octet, what.first_octet);
}

template <class Pages, class Id, class Owner>
void open_page(Pages& pages, const worker::Dataplane& dataplane, Id id, const Owner& owner) {
  const auto [page, is_new] = pages.try_emplace(id.value, typename Pages::mapped_type{owner, {}});
  if (!is_new && page->second.owner != owner) {
    page->second = {owner, counted(dataplane, id)};
  }
}
template <class Pages, class Id>
auto read_page(const Pages& pages, const worker::Dataplane& dataplane, Id id) {
  auto requests = counted(dataplane, id);
  if (const auto page = pages.find(id.value); page != pages.end()) {
    subtract(requests, page->second.before);
  }
  return requests;
}

}  // namespace

std::uint64_t RequestTimes::total() const {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

double RequestTimes::quantile(double part) const {
  const double wanted = part * static_cast<double>(total());
  double below = 0;
  for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
    const auto here = static_cast<double>(counts[bucket]);
    if (here > 0 && below + here >= wanted) {
      const double first = bucket == 0 ? 0.0 : static_cast<double>(http::Durations::limit(bucket - 1));
      // Of those above the last limit only that is known.
      const double last =
          bucket == http::Durations::limits ? first : static_cast<double>(http::Durations::limit(bucket));
      return first + (last - first) * (wanted - below) / here;
    }
    below += here;
  }
  return 0;
}

void RequestBook::open(const worker::Dataplane& dataplane, service::ListenerId id, const ListenerKey& owner) {
  open_page(listeners_, dataplane, id, owner);
}
void RequestBook::open(const worker::Dataplane& dataplane, service::BackendId id, const BackendKey& owner) {
  open_page(servers_, dataplane, id, owner);
}
ListenerRequests RequestBook::read(const worker::Dataplane& dataplane, service::ListenerId id) const {
  return read_page(listeners_, dataplane, id);
}
ServerRequests RequestBook::read(const worker::Dataplane& dataplane, service::BackendId id) const {
  return read_page(servers_, dataplane, id);
}

}  // namespace steelyard::control

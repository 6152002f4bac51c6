#include "control/runtime/refusals.h"

namespace steelyard::control {
namespace {

Refusals counted(const worker::Dataplane& dataplane, service::ListenerId id) {
  Refusals sum{};
  for (std::size_t worker = 0; worker < dataplane.workers(); ++worker) {
    for (std::size_t reason = 0; reason < sum.size(); ++reason) {
      sum[reason] += (dataplane.listener(worker, id).*refusal_reasons[reason].counter).get();
    }
  }
  return sum;
}

}  // namespace

void RefusalBook::open(const worker::Dataplane& dataplane, service::ListenerId id, const ListenerKey& owner) {
  const auto [page, is_new] = pages_.try_emplace(id.value, Page{owner, {}});
  if (!is_new && page->second.owner != owner) {
    page->second = {owner, counted(dataplane, id)};
  }
}

Refusals RefusalBook::read(const worker::Dataplane& dataplane, service::ListenerId id) const {
  Refusals refusals = counted(dataplane, id);
  if (const auto page = pages_.find(id.value); page != pages_.end()) {
    for (std::size_t reason = 0; reason < refusals.size(); ++reason) {
      refusals[reason] -= page->second.before[reason];
    }
  }
  return refusals;
}

}  // namespace steelyard::control

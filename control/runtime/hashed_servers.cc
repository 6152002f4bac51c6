#include "control/runtime/hashed_servers.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace steelyard::control {

void find_hashed_servers(service::Snapshot& snapshot) {
  using Entry = service::ListenerIndex::Entry;
  std::vector<Entry> servers;
  bool any = false;
  for (const auto& listener : snapshot.listeners) {
    if (listener == nullptr || listener->mode != service::Mode::nat ||
        listener->key.protocol != service::Protocol::tcp) {
      continue;
    }
    any = any || service::by_hash(listener->scheduler);
    for (const service::Server& server : listener->servers) {
      servers.push_back({{server.address, server.port, listener->key.protocol}, listener->id});
    }
  }
  if (!any) {
    return;
  }
  std::ranges::sort(servers, {}, &Entry::key);
  std::vector<service::VipKey> hashed;
  std::vector<Entry> unambiguous;
  for (auto first = servers.begin(); first != servers.end();) {
    const auto next =
        std::find_if(first, servers.end(), [first](const Entry& entry) { return entry.key != first->key; });
    const bool by_hash = std::any_of(first, next, [&snapshot](const Entry& entry) {
      return service::by_hash(snapshot.find(entry.listener)->scheduler);
    });
    if (by_hash) {
      hashed.push_back(first->key);
      if (next - first == 1) {
        unambiguous.push_back(*first);
      }
    }
    first = next;
  }
  snapshot.hashed_servers = std::make_shared<service::EndpointSet>(hashed);
  snapshot.hashed_listeners = std::make_shared<service::ListenerIndex>(unambiguous);
}

}  // namespace steelyard::control

// What one worker counts of requests (http/request_counters.h), by id. Address space is reserved for every id, and
// control makes the memory of those real that a configuration has before the worker sees it.
#pragma once

#include "dataplane/http/request_counters.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/service/stable_array.h"

namespace steelyard::worker {

struct RequestTables {
  service::StableArray<http::ListenerRequests> listeners{service::max_listeners};
  service::StableArray<http::ServerRequests> servers{service::max_backends};

  // A listener or target of layer 7 that is to be published. Control thread.
  void populate(const service::Listener& listener) {
    listeners.populate(listener.id.value);
    for (const service::Server& server : listener.servers) {
      servers.populate(server.id.value);
    }
  }
  // Worker: a request is over.
  void add(const http::AccessRecord& record) {
    listeners[record.listener.value].add(record);
    if (record.backend.value != 0) {
      servers[record.backend.value].add(record);
    }
  }
};

}  // namespace steelyard::worker

// A listener with its workers' schedulers and counters, for the scheduler tests: what control and a worker would do
// around a pick, in a line each.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/schedule/scheduler.h"

namespace steelyard::schedule {

class BenchOfServers {
 public:
  BenchOfServers(service::Scheduler kind, const std::vector<std::uint8_t>& weights, std::uint16_t workers = 1)
      : workers_(workers), schedulers_(workers) {
    replace_servers(kind, weights);
    for (std::uint16_t worker = 0; worker < workers; ++worker) {
      own_.emplace_back(max_ids);
      others_.emplace_back(max_ids);
    }
  }

  // A reload: another build of the listener. Ids are the indices plus `first_id`.
  void replace_servers(service::Scheduler kind, const std::vector<std::uint8_t>& weights, std::uint32_t first_id = 0) {
    auto next = std::make_unique<service::Listener>();
    next->scheduler = kind;
    next->servers_generation = ++generation_;
    next->state = std::make_shared<service::ListenerState>(weights.size());
    for (std::uint32_t index = 0; index < weights.size(); ++index) {
      service::Server server;
      server.weight = weights[index];
      server.id = {first_id + index};
      server.port = static_cast<std::uint16_t>(1 + index);
      next->servers.push_back(server);
    }
    if (service::by_hash(kind)) {
      next->hash_table = std::make_shared<service::HashTable>(build_hash_table(next->servers));
    }
    for (std::uint16_t worker = 0; worker < workers_; ++worker) {
      next->scratch.push_back(std::make_unique<std::uint32_t[]>(scratch_words(kind, weights.size())));
    }
    listener_ = std::move(next);
  }

  void set_up(std::size_t server, bool up, std::uint64_t recovered_at = 0) {
    listener_->state->states[server].recovered_at.store(recovered_at, std::memory_order_release);
    listener_->state->states[server].up.store(up, std::memory_order_release);
    listener_->state->epoch.fetch_add(1, std::memory_order_release);
  }

  // The decision as a worker makes it, without counting the connection.
  std::optional<std::size_t> pick(std::uint16_t worker = 0) {
    Scheduler& scheduler = schedulers_[worker];
    if (!scheduler.is_current(*listener_, now_ns)) {
      ++rebuilds;
      scheduler.rebuild(*listener_, {{worker}, workers_}, load(worker), now_ns);
    }
    return scheduler.pick(*listener_, load(worker), client);
  }

  void open(std::size_t server, std::uint16_t worker = 0) {
    own_[worker][id(server).value].add();
    schedulers_[worker].load_changed(*listener_, id(server), load(worker));
  }
  void close(service::BackendId server, std::uint16_t worker = 0) {
    own_[worker][server.value].subtract();
    schedulers_[worker].load_changed(*listener_, server, load(worker));
  }

  // What control does every 10 ms.
  void publish_loads() {
    ++others_version_;
    for (std::size_t worker = 0; worker < workers_; ++worker) {
      for (std::size_t backend = 0; backend < max_ids; ++backend) {
        std::uint32_t sum = 0;
        for (std::size_t other = 0; other < workers_; ++other) {
          sum += other == worker ? 0 : own_[other][backend].get();
        }
        others_[worker][backend].set(sum);
      }
    }
  }

  // How often each server is picked in that many picks.
  std::vector<std::uint32_t> count_picks(std::uint64_t picks, std::uint16_t worker = 0) {
    std::vector<std::uint32_t> counts(listener_->servers.size());
    for (std::uint64_t done = 0; done < picks; ++done) {
      ++counts.at(pick(worker).value());
    }
    return counts;
  }

  [[nodiscard]] LoadView load(std::uint16_t worker = 0) const {
    return {own_[worker], others_[worker], others_version_};
  }
  [[nodiscard]] service::BackendId id(std::size_t server) const { return listener_->servers[server].id; }
  [[nodiscard]] service::Listener& listener() { return *listener_; }
  [[nodiscard]] Scheduler& scheduler(std::uint16_t worker = 0) { return schedulers_[worker]; }

  std::uint64_t now_ns = 1'000'000'000'000;
  ClientKey client;  // who asks
  std::uint64_t rebuilds = 0;

 private:
  static constexpr std::size_t max_ids = 1'024;

  std::uint16_t workers_;
  std::uint64_t generation_ = 0;
  std::uint64_t others_version_ = 0;
  std::unique_ptr<service::Listener> listener_;
  std::vector<Scheduler> schedulers_;
  std::vector<std::vector<service::Gauge>> own_;
  std::vector<std::vector<service::Gauge>> others_;
};

}  // namespace steelyard::schedule

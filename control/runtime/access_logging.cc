#include "control/runtime/access_logging.h"

#include <unistd.h>

#include <string>
#include <unordered_map>
#include <vector>

#include <spdlog/spdlog.h>

#include "control/access_log/outlets.h"

namespace steelyard::control {
namespace {

std::string endpoint(const service::Address& address, std::uint16_t port) {
  return (address.is_v4() ? address.to_string() : '[' + address.to_string() + ']') + ':' + std::to_string(port);
}

// Of one plan.
class PlanNames final : public access_log::RecordNames {
 public:
  explicit PlanNames(const Plan& plan) {
    for (const ListenerPlan& listener : plan.listeners) {
      listeners_[listener.id.value] = endpoint(listener.key.vip.address, listener.key.vip.port);
      targets_[listener.id.value] = listener.group;
      for (const BackendPlan& backend : listener.backends) {
        servers_[backend.id.value] = endpoint(backend.key.address, backend.port);
      }
    }
  }

  [[nodiscard]] std::string_view listener(service::ListenerId id) const override { return find(listeners_, id.value); }
  [[nodiscard]] std::string_view target(service::ListenerId id) const override { return find(targets_, id.value); }
  [[nodiscard]] std::string_view server(service::BackendId id) const override { return find(servers_, id.value); }

 private:
  using Names = std::unordered_map<std::uint32_t, std::string>;
  [[nodiscard]] static std::string_view find(const Names& names, std::uint32_t id) {
    const auto found = names.find(id);
    return found != names.end() ? std::string_view(found->second) : std::string_view{};
  }

  Names listeners_;
  Names targets_;
  Names servers_;
};

std::vector<worker::AccessRing*> rings_of(worker::Dataplane& dataplane) {
  std::vector<worker::AccessRing*> rings;
  for (std::size_t worker = 0; worker < dataplane.workers(); ++worker) {
    rings.push_back(&dataplane.access_ring(worker));
  }
  return rings;
}

// On the log's thread.
void tell_lost(const access_log::LostLines& lost) {
  const std::string why = lost.error ? " error=\"" + lost.error.message() + '"' : "";
  spdlog::warn("access log: lines lost in_rings={} in_outlet={}{}", lost.in_rings, lost.in_outlet, why);
}

std::unique_ptr<access_log::Outlet> open(const config::AccessLog& wanted) {
  using To = config::AccessLog::To;
  switch (wanted.to) {
    case To::nowhere:
      return nullptr;
    case To::standard_output:
      return access_log::make_stream(STDOUT_FILENO);
    case To::syslog:
      return access_log::make_syslog({});
    case To::file:
      break;
  }
  auto opened = access_log::open_file(wanted.file);
  if (!opened) {
    spdlog::error("access log: file cannot be opened, no request is logged file={} error=\"{}\"", wanted.file,
                  opened.error().message());
    return nullptr;
  }
  return std::move(*opened);
}

}  // namespace

AccessLogging::AccessLogging(worker::Dataplane& dataplane) : log_(rings_of(dataplane), tell_lost) {}

void AccessLogging::apply(const Plan& plan) {
  const config::AccessLog& wanted = plan.config->access_log;
  log_.set_names(std::make_shared<const PlanNames>(plan));
  if (in_force_ == wanted) {
    return;
  }
  in_force_ = wanted;
  // Validated when it was read.
  access_log::LineFormat format;
  if (auto made = access_log::LineFormat::from_template(wanted.format); made && !wanted.format.empty()) {
    format = std::move(*made);
  }
  log_.configure(std::move(format), open(wanted));
}

}  // namespace steelyard::control

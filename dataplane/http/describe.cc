// What connections are doing, for reports. Changes nothing.
#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

Activity activity_of(Stage stage) {
  switch (stage) {
    case Stage::queued:
      return Activity::queued;
    case Stage::connecting:
      return Activity::connecting;
    case Stage::waiting:
      return Activity::waiting;
    case Stage::answering:
      return Activity::answering;
    case Stage::tunnel:
      return Activity::tunnel;
    case Stage::free:
      break;
  }
  return Activity::none;
}

}  // namespace

LinkReport Proxy::Machine::describe(tcp::ConnectionId connection) const {
  const LinkIndex index = link_of(connection);
  if (index == nobody) {
    return {};
  }
  const Link& link = links_.all[index];
  LinkReport report{.side = link.side,
                    .activity = Activity::idle,
                    .listener = link.listener,
                    .requests = link.requests,
                    .unsent = link.unsent.octets(),
                    .other = {}};
  if (link.exchange != nobody) {
    const Exchange& exchange = exchanges_[link.exchange];
    const LinkIndex other = link.side == Side::client ? exchange.server : exchange.client;
    report.activity = activity_of(exchange.stage);
    report.other = other != nobody ? links_.all[other].id : tcp::ConnectionId{};
  } else if (link.lingering) {
    report.activity = Activity::closing;
  } else if (link.side == Side::client && link.began_us != 0) {
    report.activity = Activity::reading;
  }
  return report;
}

}  // namespace steelyard::http

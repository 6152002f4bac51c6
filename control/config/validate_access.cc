// Checks of access control: names, references, and lists that leave a listener without any client.
#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "control/config/checks.h"
#include "control/config/scalars.h"

namespace steelyard::control::config {

namespace {

using Lists = std::unordered_map<std::string_view, const AccessControlList*>;

// The first list of each name; the others are reported.
Lists check_names(const Config& config, Report& report) {
  Lists lists;
  for (const AccessControlList& list : config.access_control_lists) {
    const auto [first, is_new] = lists.try_emplace(list.name, &list);
    if (!is_new && !list.name.empty()) {
      report.error(list.at, "a second access control list is named " + in_quotes(list.name) + ", after " +
                                in_line(first->second->at) + "; names must differ");
    }
  }
  return lists;
}

void report_unknown(const ListenerAccess::Name& wanted, const Lists& lists, Report& report) {
  std::vector<std::string_view> known;
  for (const auto& [name, list] : lists) {
    known.push_back(name);
  }
  std::ranges::sort(known);
  const std::string_view near = nearest_word(wanted.name, known);
  report.error(wanted.at, "there is no access control list " + in_quotes(wanted.name) + "; " +
                              (near.empty() ? "allowed: a name of `access_control_lists`"
                                            : "did you mean " + in_quotes(near) + "?"));
}

// Only entries of the listener's own address family let anybody in.
void warn_of_closed_door(const LoadBalancer& balancer, const ListenerAccess& access, const Lists& lists,
                         Report& report) {
  const bool v4 = balancer.address.is_v4();
  const bool lets_in = std::ranges::any_of(access.lists, [&](const ListenerAccess::Name& name) {
    return std::ranges::any_of(lists.at(name.name)->entries,
                               [v4](const AccessEntry& entry) { return entry.network.address.is_v4() == v4; });
  });
  if (!lets_in) {
    report.warning(access.at,
                   "the white list has no IPv" + std::string(v4 ? "4" : "6") + " entry: the listener lets nobody in");
  }
}

}  // namespace

void check_access(const Config& config, const Incomplete& incomplete, Report& report) {
  const Lists lists = check_names(config, report);
  std::unordered_set<std::string_view> used;
  for (const LoadBalancer& balancer : config.load_balancers) {
    for (const Listener& listener : balancer.listeners) {
      if (!listener.access_control) {
        continue;
      }
      bool all_known = true;
      for (const ListenerAccess::Name& name : listener.access_control->lists) {
        used.insert(name.name);
        all_known = all_known && lists.contains(name.name);
        if (!lists.contains(name.name) && !incomplete.access_control_lists) {
          report_unknown(name, lists, report);
        }
      }
      if (all_known && listener.access_control->type == AccessType::white && !incomplete.access_control_lists &&
          !balancer.address.is_unspecified()) {
        warn_of_closed_door(balancer, *listener.access_control, lists, report);
      }
    }
  }
  for (const AccessControlList& list : config.access_control_lists) {
    if (!list.name.empty() && !used.contains(list.name)) {
      report.warning(list.at, "access control list " + in_quotes(list.name) + " is used by no listener");
    }
  }
}

}  // namespace steelyard::control::config

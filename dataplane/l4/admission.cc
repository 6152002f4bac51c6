// Who may open a flow: what a listener's rules say of a packet's source. Asked by the owner of the flow for packets
// without one, so that an established packet pays nothing and a packet of another worker's flow, on its way there,
// neither. What is refused is dropped without a word, as by a firewall: an answer would tell a scanner that somebody
// is there, and serve a forged source to reflect packets.
//
// A flow that a reload does not want any more ends by control's command (FlowFilter::shut_out): its publication comes
// before its walk, so no flow opens behind the walk's back.
#include "dataplane/l4/balancer.h"

namespace steelyard::l4 {

// Not let in by the listener's access list; counted.
bool Balancer::is_shut_out(const service::Listener& listener, const service::Address& source) {
  if (listener.access == nullptr || listener.access->allows(source)) {
    return false;
  }
  listeners_[listener.id.value].access_denied.add();
  return true;
}

}  // namespace steelyard::l4

// The control channel of the TCP services: any line is a call or is refused by a sentence, and every answer is one
// line.
#include <string>
#include <string_view>

#include "tests/fuzz/input.h"
#include "tests/services/call_json.h"
#include "tests/services/options.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace steelyard;
  boost::json::value id;
  const auto call = test::read_call({reinterpret_cast<const char*>(data), size}, id);
  if (!call) {
    fuzz::require(!call.error().empty());
    fuzz::require(test::write_refusal(call.error(), id).find('\n') == std::string::npos);
    return 0;
  }
  tcp::Settings settings;
  (*call)->error = test::apply_options((*call)->options, settings);
  (*call)->received.assign(reinterpret_cast<const char*>(data), size);
  (*call)->has_received = true;
  fuzz::require(settings.largest_segment >= 48);
  fuzz::require(test::write_answer(**call, id).find('\n') == std::string::npos);
  return 0;
}

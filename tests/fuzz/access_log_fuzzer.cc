// Templates of any octets, and records whose texts are any octets: a template is read or refused with a place inside of
// it, and what is written of a record is one line of printable ASCII, and parses if it is JSON.
//
// Input: the template, a zero, and what a client has sent.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/access_log/format.h"
#include "tests/fuzz/input.h"

namespace {

using namespace steelyard::control::access_log;
using steelyard::fuzz::require;

class Names final : public RecordNames {
 public:
  explicit Names(std::string_view name) : name_(name) {}
  std::string_view listener(steelyard::service::ListenerId) const override { return name_; }
  std::string_view target(steelyard::service::ListenerId) const override { return name_; }
  std::string_view server(steelyard::service::BackendId) const override { return name_; }

 private:
  std::string_view name_;
};

bool is_printable(char octet) {
  return octet >= ' ' && octet < 0x7f;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view pattern = input.substr(0, input.find('\0'));
  const std::string_view sent = input.substr(std::min(pattern.size() + 1, input.size()));
  steelyard::http::AccessRecord record;
  record.target = {1};
  record.backend = {1};
  record.method.assign(sent);
  record.host.assign(sent);
  record.target_text.assign(sent);
  const Names names(sent);

  std::string json;
  LineFormat().append(json, {record, names});
  require(json.ends_with('\n') && std::all_of(json.begin(), json.end() - 1, is_printable));
  require(boost::json::parse(json).is_object());

  const auto format = LineFormat::from_template(pattern);
  if (!format) {
    require(format.error().position <= pattern.size());
    require(format.error().text.size() < 2'000);
    require(std::ranges::all_of(format.error().text, is_printable));
    return 0;
  }
  std::string line;
  format->append(line, {record, names});
  require(line.find('\n') == line.size() - 1);
  // What stands in the template is the administrator's own.
  if (std::ranges::all_of(pattern, is_printable)) {
    require(std::all_of(line.begin(), line.end() - 1, is_printable));
  }
  return 0;
}

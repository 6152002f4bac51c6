#include "tests/services/call_json.h"

#include <array>
#include <limits>
#include <span>
#include <utility>

#include <boost/json.hpp>

#include "control/admin/base64.h"

namespace steelyard::test {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<std::string_view, Operation>, 13> operations{{{"listen", Operation::listen},
                                                                             {"accept", Operation::accept},
                                                                             {"connect", Operation::connect},
                                                                             {"read", Operation::read},
                                                                             {"write", Operation::write},
                                                                             {"shutdown", Operation::shutdown},
                                                                             {"close", Operation::close},
                                                                             {"abort", Operation::abort},
                                                                             {"set_option", Operation::set_option},
                                                                             {"get_option", Operation::get_option},
                                                                             {"info", Operation::info},
                                                                             {"wait", Operation::wait},
                                                                             {"counters", Operation::counters}}};
constexpr std::array<std::pair<std::string_view, Direction>, 3> directions{
    {{"read", Direction::read}, {"write", Direction::write}, {"both", Direction::both}}};
constexpr std::array<std::pair<std::string_view, Condition>, 4> conditions{{{"connected", Condition::connected},
                                                                            {"readable", Condition::readable},
                                                                            {"writable", Condition::writable},
                                                                            {"closed", Condition::closed}}};

// What is wrong with a field; read_call() makes a sentence of it.
struct Wrong {
  std::string what;
};

template <class Value, std::size_t size>
Value one_of(const std::array<std::pair<std::string_view, Value>, size>& names, std::string_view field,
             std::string_view text) {
  std::string allowed;
  for (const auto& [name, value] : names) {
    if (name == text) {
      return value;
    }
    allowed += (allowed.empty() ? "" : ", ") + std::string(name);
  }
  throw Wrong{std::string(field) + " is \"" + std::string(text) + "\": allowed are " + allowed};
}

std::string text_of(const json::value& value, std::string_view field) {
  if (!value.is_string()) {
    throw Wrong{std::string(field) + " must be a string"};
  }
  return std::string(value.get_string());
}

std::int64_t number_of(const json::value& value, std::string_view field, std::int64_t least, std::int64_t most) {
  const std::int64_t* number = value.if_int64();
  if (number == nullptr || *number < least || *number > most) {
    throw Wrong{std::string(field) + " must be a number from " + std::to_string(least) + " to " + std::to_string(most)};
  }
  return *number;
}

bool truth_of(const json::value& value, std::string_view field) {
  if (!value.is_bool()) {
    throw Wrong{std::string(field) + " must be true or false"};
  }
  return value.get_bool();
}

service::Address address_of(const json::value& value, std::string_view field) {
  const auto address = service::Address::parse(text_of(value, field));
  if (!address) {
    throw Wrong{std::string(field) + " is no IPv4 or IPv6 address"};
  }
  return *address;
}

void read_options(const json::value& value, Call::Options& options) {
  if (!value.is_object()) {
    throw Wrong{"options must be an object of names and values"};
  }
  for (const auto& [name, option] : value.get_object()) {
    if (name == "congestion") {
      if (text_of(option, "congestion") != "cubic") {
        throw Wrong{"congestion: allowed is cubic"};
      }
      options["congestion"] = 0;
    } else if (option.is_bool()) {
      options[name] = option.get_bool() ? 1 : 0;
    } else {
      options[name] = number_of(option, std::string_view(name), -1, std::numeric_limits<std::int64_t>::max());
    }
  }
}

void read_field(Call& call, std::string_view name, const json::value& value) {
  constexpr std::int64_t most32 = std::numeric_limits<std::int32_t>::max();
  if (name == "call") {
    call.operation = one_of(operations, name, text_of(value, name));
  } else if (name == "socket") {
    call.socket = static_cast<std::uint32_t>(number_of(value, name, 1, most32));
  } else if (name == "address") {
    call.address = address_of(value, name);
  } else if (name == "port") {
    call.port = static_cast<std::uint16_t>(number_of(value, name, 1, 65'535));
  } else if (name == "local_address") {
    call.local_address = address_of(value, name);
  } else if (name == "local_port") {
    call.local_port = static_cast<std::uint16_t>(number_of(value, name, 1, 65'535));
  } else if (name == "count") {
    call.count = static_cast<std::uint32_t>(number_of(value, name, 0, 16 << 20));
  } else if (name == "blocking") {
    call.blocking = truth_of(value, name);
  } else if (name == "exactly") {
    call.exactly = truth_of(value, name);
  } else if (name == "timeout_ms") {
    call.timeout = std::chrono::milliseconds{number_of(value, name, 0, most32)};
  } else if (name == "text") {
    call.data = text_of(value, name);
  } else if (name == "data") {
    auto data = control::from_base64(text_of(value, name));
    if (!data) {
      throw Wrong{"data is no base64"};
    }
    call.data = std::move(*data);
  } else if (name == "how") {
    call.direction = one_of(directions, name, text_of(value, name));
  } else if (name == "until") {
    call.condition = one_of(conditions, name, text_of(value, name));
  } else if (name == "options") {
    read_options(value, call.options);
  } else if (name != "id") {
    throw Wrong{"there is no field \"" + std::string(name) + "\""};
  }
}

void require(bool there, std::string_view field) {
  if (!there) {
    throw Wrong{"field \"" + std::string(field) + "\" is missing"};
  }
}

void check(const Call& call, const json::object& fields) {
  switch (call.operation) {
    case Operation::listen:
      require(call.port != 0, "port");
      return;
    case Operation::connect:
      require(call.address.has_value(), "address");
      require(call.port != 0, "port");
      return;
    case Operation::counters:
    case Operation::cancel:
      return;
    case Operation::read:
      require(fields.contains("count"), "count");
      break;
    case Operation::write:
      require(fields.contains("data") || fields.contains("text"), "data\" or \"text");
      break;
    case Operation::set_option:
      require(!call.options.empty(), "options");
      break;
    case Operation::wait:
      require(fields.contains("until"), "until");
      break;
    default:
      break;
  }
  require(call.socket != 0, "socket");
}

}  // namespace

tl::expected<std::unique_ptr<Call>, std::string> read_call(std::string_view line, json::value& id) {
  boost::system::error_code error;
  const json::value document = json::parse(json::string_view(line.data(), line.size()), error);
  if (error || !document.is_object()) {
    return tl::unexpected(std::string("a call is one JSON object on one line"));
  }
  const json::object& fields = document.get_object();
  if (const json::value* given = fields.if_contains("id"); given != nullptr) {
    id = *given;
  }
  auto call = std::make_unique<Call>();
  try {
    require(fields.contains("call"), "call");
    for (const auto& [name, value] : fields) {
      read_field(*call, name, value);
    }
    check(*call, fields);
  } catch (const Wrong& wrong) {
    return tl::unexpected(wrong.what);
  }
  return call;
}

std::string write_answer(const Call& call, const json::value& id) {
  json::object answer;
  answer["id"] = id;
  answer["ok"] = call.error.empty();
  if (!call.error.empty()) {
    answer["error"] = call.error;
  }
  for (const auto& [name, number] : call.numbers) {
    answer[name] = number;
  }
  for (const auto& [name, text] : call.texts) {
    answer[name] = text;
  }
  if (call.has_received) {
    answer["data"] = control::to_base64(std::as_bytes(std::span(call.received)));
  }
  return json::serialize(answer);
}

std::string write_refusal(const std::string& why, const json::value& id) {
  return json::serialize(json::object{{"id", id}, {"ok", false}, {"error", "bad_call"}, {"message", why}});
}

}  // namespace steelyard::test

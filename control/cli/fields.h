// Reads answers of the process leniently: what is absent or of another type is shown as "-" or counts as nothing, so
// that a program of one version can show what a process of another one says. Pure.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace steelyard::control::cli {

// A member as text: strings as they are, numbers and booleans in words, all else "-".
[[nodiscard]] std::string text(const boost::json::object& object, std::string_view key);
[[nodiscard]] std::string text(const boost::json::value& value);
// A member as a number; 0 when it is none. Fractions and signs are cut off.
[[nodiscard]] std::uint64_t number(const boost::json::object& object, std::string_view key);
// The same with its fraction and sign.
[[nodiscard]] double real(const boost::json::object& object, std::string_view key);
[[nodiscard]] bool flag(const boost::json::object& object, std::string_view key);
[[nodiscard]] bool has(const boost::json::object& object, std::string_view key);
// A member, or an empty one.
[[nodiscard]] const boost::json::array& list(const boost::json::object& object, std::string_view key);
[[nodiscard]] const boost::json::object& member(const boost::json::object& object, std::string_view key);
// The value as an object, or an empty one.
[[nodiscard]] const boost::json::object& as_object(const boost::json::value& value);

// "10.0.0.1:80", "[2001:db8::1]:80"; without a port just the address.
[[nodiscard]] std::string endpoint(std::string_view address, std::uint64_t port);
// "web:tcp:80", as the options of the commands take it.
[[nodiscard]] std::string listener_name(const boost::json::object& listener);
// "14s", "2m03s", "5h07m", "3d04h".
[[nodiscard]] std::string duration(std::uint64_t seconds);
// Of a rate: "0.3", "4.0", "17", "1234567"; "-" when there is none.
[[nodiscard]] std::string per_second(const boost::json::object& rates, std::string_view key);
// "1 server", "2 servers".
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view one, std::string_view many);

// "access_denied 12, ...": the counters of an object that are not zero; empty when there is none. With rates:
// "access_denied 12 (0.5/s), ...".
[[nodiscard]] std::string nonzero(const boost::json::object& counters, const boost::json::object& rates = {});

}  // namespace steelyard::control::cli

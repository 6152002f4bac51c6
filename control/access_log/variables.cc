// The variables of templates. Each name means what it means in the program that it comes from; where Steelyard knows
// something else than that program, it has a name of its own. nginx's times are seconds, HAProxy's milliseconds; "-"
// and
// "-1" stand for what was never reached, as they do there. Octets are those of the connection, heads included, so there
// is no $body_bytes_sent.
#include <algorithm>
#include <array>

#include "control/access_log/format.h"
#include "control/access_log/line_text.h"
#include "control/access_log/words.h"

namespace steelyard::control::access_log {
namespace {

using Record = http::AccessRecord;

void append_text(std::string& line, std::string_view text) {
  append_escaped(line, text.empty() ? "-" : text);
}

// The text up to the query.
std::string_view path_of(const Record& record) {
  const std::string_view target = record.target_text.view();
  return target.substr(0, target.find('?'));
}
// The query with its question mark; empty without one.
std::string_view query_of(const Record& record) {
  return record.target_text.view().substr(path_of(record).size());
}

template <auto member>
void text(std::string& line, const Source& source) {
  append_text(line, (source.record.*member).view());
}
template <auto member>
void number(std::string& line, const Source& source) {
  append_number(line, source.record.*member);
}
template <auto member>
void seconds(std::string& line, const Source& source) {
  if (source.record.*member == Record::never) {
    line += '-';
  } else {
    append_seconds(line, source.record.*member);
  }
}
template <auto member>
void milliseconds(std::string& line, const Source& source) {
  if (source.record.*member == Record::never) {
    line += "-1";
  } else {
    append_number(line, source.record.*member / 1'000);
  }
}
template <void (*append)(std::string&, std::uint64_t)>
void time(std::string& line, const Source& source) {
  append(line, source.record.accepted_at);
}

void client(std::string& line, const Source& source) {
  line += source.record.client.to_string();
}
void path(std::string& line, const Source& source) {
  append_text(line, path_of(source.record));
}
void query(std::string& line, const Source& source) {
  append_escaped(line, query_of(source.record));
}
void arguments(std::string& line, const Source& source) {
  const std::string_view whole = query_of(source.record);
  append_text(line, whole.substr(std::min<std::size_t>(1, whole.size())));
}
void version(std::string& line, const Source& source) {
  line += version_word(source.record);
}
void request(std::string& line, const Source& source) {
  text<&Record::method>(line, source);
  line += ' ';
  text<&Record::target_text>(line, source);
  line += ' ';
  version(line, source);
}
void milliseconds_part(std::string& line, const Source& source) {
  append_digits(line, source.record.accepted_at / 1'000, 3);
}
void whole_seconds(std::string& line, const Source& source) {
  append_number(line, source.record.accepted_at / 1'000'000);
}
void status_or_minus_one(std::string& line, const Source& source) {
  if (source.record.status == 0) {
    line += "-1";
  } else {
    append_number(line, source.record.status);
  }
}
void status_of_three_digits(std::string& line, const Source& source) {
  append_digits(line, source.record.status, 3);
}
void listener(std::string& line, const Source& source) {
  append_text(line, source.names.listener(source.record.listener));
}
void target(std::string& line, const Source& source) {
  append_text(line, target_name(source));
}
void server(std::string& line, const Source& source) {
  append_text(line, server_name(source));
}
void cause(std::string& line, const Source& source) {
  line += http::code_of(source.record.cause);
}
// nginx's: how many times smaller the body has become.
void gzip_ratio(std::string& line, const Source& source) {
  const Record& record = source.record;
  if (record.gzip_out == 0) {
    line += '-';
    return;
  }
  const std::uint64_t hundredths = (record.gzip_in * 100 + record.gzip_out / 2) / record.gzip_out;
  append_number(line, hundredths / 100);
  line += '.';
  append_digits(line, hundredths % 100, 2);
}
void cookie(std::string& line, const Source& source) {
  line += cookie_word(source.record.cookie);
}

constexpr std::array list{
    // nginx
    Variable{"$remote_addr", client},
    Variable{"$remote_port", number<&Record::client_port>},
    Variable{"$time_iso8601", time<append_iso8601_seconds>},
    Variable{"$time_local", time<append_common_log>},
    Variable{"$msec", time<append_seconds>},
    Variable{"$request", request},
    Variable{"$request_method", text<&Record::method>},
    Variable{"$host", text<&Record::host>},
    Variable{"$uri", path},
    Variable{"$request_uri", text<&Record::target_text>},
    Variable{"$args", arguments},
    Variable{"$query_string", arguments},
    Variable{"$server_protocol", version},
    Variable{"$status", status_of_three_digits},
    Variable{"$bytes_sent", number<&Record::octets_out>},
    Variable{"$request_length", number<&Record::octets_in>},
    Variable{"$request_time", seconds<&Record::total_us>},
    Variable{"$upstream_addr", server},
    Variable{"$upstream_connect_time", seconds<&Record::connect_us>},
    Variable{"$upstream_header_time", seconds<&Record::first_octet_us>},
    Variable{"$upstream_queue_time", seconds<&Record::queue_us>},
    Variable{"$gzip_ratio", gzip_ratio},
    // our own
    Variable{"$listener", listener},
    Variable{"$server_group", target},
    Variable{"$cause", cause},
    Variable{"$session", cookie},
    Variable{"$retries", number<&Record::retries>},
    Variable{"$request_head_time", seconds<&Record::head_us>},
    // HAProxy
    Variable{"%ci", client},
    Variable{"%cp", number<&Record::client_port>},
    Variable{"%tr", time<append_haproxy>},
    Variable{"%Ts", whole_seconds},
    Variable{"%ms", milliseconds_part},
    Variable{"%f", listener},
    Variable{"%b", target},
    Variable{"%s", server},
    Variable{"%TR", milliseconds<&Record::head_us>},
    Variable{"%Tw", milliseconds<&Record::queue_us>},
    Variable{"%Tc", milliseconds<&Record::connect_us>},
    Variable{"%Tr", milliseconds<&Record::first_octet_us>},
    Variable{"%Ta", milliseconds<&Record::total_us>},
    Variable{"%ST", status_or_minus_one},
    Variable{"%B", number<&Record::octets_out>},
    Variable{"%U", number<&Record::octets_in>},
    Variable{"%ts", cause},
    Variable{"%rc", number<&Record::retries>},
    Variable{"%r", request},
    Variable{"%HM", text<&Record::method>},
    Variable{"%HU", text<&Record::target_text>},
    Variable{"%HP", path},
    Variable{"%HQ", query},
    Variable{"%HV", version},
};

}  // namespace

std::span<const Variable> variables() {
  return list;
}

}  // namespace steelyard::control::access_log

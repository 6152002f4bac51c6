#include "dataplane/http/framing.h"

#include <limits>
#include <optional>

#include "dataplane/http/characters.h"

namespace steelyard::http {
namespace {

// Longer names are nobody's; logs and servers have limits of their own.
constexpr std::size_t max_name_octets = 256;
// is_hop_by_hop() asks the list for every field: with 128 of them, a list of 32 KB would cost milliseconds.
constexpr std::size_t max_connection_octets = 512;
// What is larger is negative for somebody.
constexpr std::uint64_t max_length = std::numeric_limits<std::int64_t>::max();

// RFC 9110 section 8.6: Content-Length = 1*DIGIT. Nothing else: no sign, no list, no other base.
tl::expected<std::uint64_t, Refusal> read_length(const Occurrence& length, Tier& tier) {
  if (length.count > 1) {
    // Section 8.6 lets a recipient refuse equal ones, too; so does llhttp.
    return malformed("two Content-Length fields");
  }
  if (length.value.empty()) {
    return malformed("an empty Content-Length");
  }
  std::uint64_t octets = 0;
  for (const char digit : length.value) {
    if (!digits.has(digit)) {
      return malformed("Content-Length is not a number");
    }
    const auto value = static_cast<std::uint64_t>(digit - '0');
    if (octets > (max_length - value) / 10) {
      return malformed("Content-Length is too large");
    }
    octets = octets * 10 + value;
  }
  if (length.value.size() > 1 && length.value.front() == '0') {
    worsen(tier, Tier::ambiguous);  // allowed by the grammar; whoever takes it for octal has read another length
  }
  return octets;
}

// RFC 9112 section 7 knows no white space but blanks and tabs, and some recipients not even tabs. `value` lies in its
// line: a colon stands somewhere before it, a CR after it.
bool has_tab_around(std::string_view value) {
  const char* before = value.data();
  while (*--before != ':') {
    if (*before == '\t') {
      return true;
    }
  }
  const char* after = value.data() + value.size();
  while (*after != '\r') {
    if (*after++ == '\t') {
      return true;
    }
  }
  return false;
}

// Why a Transfer-Encoding that is not simply "chunked" is refused.
Refusal refusal_of_coding(std::string_view value) {
  bool empty = false;
  bool malformed_one = false;
  std::size_t chunked = 0;
  bool chunked_last = false;
  for_each_element(value, [&](std::string_view element) {
    empty = empty || element.empty();
    malformed_one = malformed_one || (!element.empty() && !is_token(element));
    chunked_last = same_name(element, "chunked");
    chunked += chunked_last ? 1 : 0;
  });
  Refusal refusal{.status = 400, .cause = Cause::bad_request, .fault = "an unknown transfer coding"};
  if (empty) {
    refusal.fault = "an empty transfer coding";
  } else if (malformed_one) {
    refusal.fault = "a malformed transfer coding";  // parameters as well: section 7.1 has chunked take none
  } else if (chunked > 1) {
    refusal.fault = "chunked twice";
  } else if (chunked == 1 && !chunked_last) {
    refusal.fault = "chunked is not the last transfer coding";
  } else {
    refusal.status = 501;  // section 6.1
  }
  return refusal;
}

// RFC 9112 section 6.1 and 6.3: chunked, once, without a length beside it, in HTTP/1.1.
Verdict check_coding(const KnownFields& known, Version version) {
  if (known.length.count != 0) {
    // Section 6.3: "such a message might indicate an attempt to perform request smuggling".
    return malformed("Content-Length beside Transfer-Encoding");
  }
  if (known.coding.count > 1) {
    return malformed("two Transfer-Encoding fields");
  }
  if (version == Version::http_1_0) {
    // Section 6.1: "MUST treat the message as if the framing is faulty".
    return malformed("Transfer-Encoding in HTTP/1.0");
  }
  if (!same_name(known.coding.value, "chunked")) {
    return tl::unexpected(refusal_of_coding(known.coding.value));
  }
  if (has_tab_around(known.coding.value)) {
    return malformed("a tab around a transfer coding");
  }
  return {};
}

// The framing that the fields ask for: length, chunked, or none.
tl::expected<Framing, Refusal> declared_framing(const KnownFields& known, const Collected& collected,
                                                MessageHead& head) {
  Framing framing;
  if (known.coding.count != 0) {
    if (const Verdict verdict = check_coding(known, head.version); !verdict) {
      return tl::unexpected(verdict.error());
    }
    framing.kind = BodyKind::chunked;
  } else if (known.length.count != 0) {
    const auto length = read_length(known.length, head.tier);
    if (!length) {
      return tl::unexpected(length.error());
    }
    framing = {BodyKind::length, *length};
  }
  if (collected.chunked != (framing.kind == BodyKind::chunked) || collected.length != framing.length) {
    return malformed("llhttp sees another framing");
  }
  return framing;
}

void note_connection_option(std::string_view option, MessageHead& head, KnownFields& known) {
  if (option.empty()) {
    return;  // RFC 9110 section 5.6.1.2: empty elements do not count
  }
  if (same_name(option, "close")) {
    known.close = true;
  } else if (same_name(option, "keep-alive")) {
    known.keep_alive = true;
  } else if (same_name(option, "upgrade")) {
    known.names_upgrade = true;
  } else if (!is_token(option) || same_name(option, "Host") || same_name(option, "Content-Length") ||
             same_name(option, "Transfer-Encoding")) {
    // RFC 9110 section 7.6.1 forbids to name what is meant for all recipients; no harm is done here, where these fields
    // are written anew, but somebody before us may have dropped them.
    worsen(head.tier, Tier::ambiguous);
  }
}

void note_connection(std::string_view value, MessageHead& head, KnownFields& known) {
  head.connection = value;
  head.several_connections = ++known.connections > 1;
  known.connection_octets += value.size();
  if (known.connection_octets <= max_connection_octets) {
    for_each_element(value, [&](std::string_view option) { note_connection_option(option, head, known); });
  }
}

// False: a name that CGI and its heirs (WSGI, PHP) take for a framing field, "-" and "_" being the same to them.
bool note_field(const Field& field, MessageHead& head, KnownFields& known) {
  switch (field.name.size()) {
    case 4:
      if (same_name(field.name, "Host")) {
        known.host.note(field.value);
      }
      break;
    case 6:
      if (same_name(field.name, "Expect")) {
        known.expect.note(field.value);
      }
      break;
    case 7:
      if (same_name(field.name, "Upgrade")) {
        known.upgrade.note(field.value);
      }
      break;
    case 10:
      if (same_name(field.name, "Connection")) {
        note_connection(field.value, head, known);
      }
      break;
    case 14:
      if (same_name(field.name, "Content-Length")) {
        known.length.note(field.value);
      }
      return !same_name(field.name, "Content_Length");
    case 17:
      if (same_name(field.name, "Transfer-Encoding")) {
        known.coding.note(field.value);
      }
      return !same_name(field.name, "Transfer_Encoding");
    default:
      break;
  }
  return true;
}

constexpr Characters upgrade_characters = visible | Characters{" \t"};

bool asks_for_http_2(std::string_view upgrade) {
  return has_token(upgrade, "h2c") || has_token(upgrade, "h2") || has_token(upgrade, "HTTP/2.0");
}

void note_upgrade(const KnownFields& known, MessageHead& head) {
  // RFC 9110 section 7.8: ignored in HTTP/1.0, and where Connection does not name it.
  if (known.upgrade.count == 0 || !known.names_upgrade || head.version == Version::http_1_0) {
    return;
  }
  if (known.upgrade.count > 1 || !upgrade_characters.make_up(known.upgrade.value)) {
    worsen(head.tier, Tier::ambiguous);
    return;
  }
  if (!asks_for_http_2(known.upgrade.value)) {
    head.upgrade = known.upgrade.value;
  }
}

bool has_no_body(Method method, std::uint16_t status) {  // RFC 9112 section 6.3, rule 1
  return method == Method::head || status < 200 || status == 204 || status == 304;
}

}  // namespace

tl::expected<KnownFields, Refusal> read_fields(MessageHead& head) {
  KnownFields known;
  for (const Field& field : head.fields.all()) {
    if (field.name.empty()) {
      return malformed("a field without a name");  // llhttp 8.1 lets it through
    }
    if (field.name.data()[-1] != '\n' || field.name.data()[field.name.size()] != ':') {
      return malformed("llhttp sees another name");
    }
    if (field.name.size() > max_name_octets) {
      return tl::unexpected(Refusal{.status = 431, .cause = Cause::head_too_large, .fault = "a name is too long"});
    }
    if (!note_field(field, head, known)) {
      return malformed("a framing field with an underscore");
    }
  }
  if (known.connection_octets > max_connection_octets) {
    return tl::unexpected(Refusal{.status = 431, .cause = Cause::head_too_large, .fault = "Connection is too long"});
  }
  note_upgrade(known, head);
  // RFC 9112 section 9.3
  head.keep_alive = !known.close && (head.version == Version::http_1_1 || known.keep_alive);
  return known;
}

Verdict frame_request(const KnownFields& known, const Collected& collected, RequestHead& head) {
  const auto framing = declared_framing(known, collected, head);
  if (!framing) {
    return tl::unexpected(framing.error());
  }
  head.framing = *framing;
  const bool has_body = framing->kind == BodyKind::chunked || framing->length != 0;
  if (has_body && (head.method == Method::get || head.method == Method::head)) {
    // RFC 9110 section 9.3.1: no semantics, yet seen. HTTP/1.0 had no such bodies, so that its servers may take them
    // for the next request.
    worsen(head.tier, head.version == Version::http_1_0 ? Tier::ambiguous : Tier::acceptable);
  }
  if (known.expect.count != 0) {
    if (known.expect.count > 1 || !same_name(known.expect.value, "100-continue")) {
      return tl::unexpected(
          Refusal{.status = 417, .cause = Cause::bad_request, .fault = "an unknown expectation"});  // section 10.1.1
    }
    head.expects_continue = has_body && head.version == Version::http_1_1;
  }
  return {};
}

Verdict frame_response(const KnownFields& known, const Collected& collected, Method method, ResponseHead& head) {
  const auto framing = declared_framing(known, collected, head);
  if (!framing) {
    return tl::unexpected(framing.error());
  }
  if (has_no_body(method, head.status)) {
    if (known.length.count != 0) {
      head.announced_length = framing->length;
    }
    // RFC 9110 section 8.6 and RFC 9112 section 6.1: neither field belongs in 1xx and 204. Who looks at them waits for
    // a body that does not come, or reads one where the next answer begins.
    if ((head.status < 200 || head.status == 204) && framing->kind != BodyKind::none) {
      worsen(head.tier, framing->kind == BodyKind::length && framing->length == 0 ? Tier::acceptable : Tier::ambiguous);
      head.announced_length.reset();
    }
    return {};
  }
  head.framing = *framing;
  if (head.status == 205 && (framing->kind != BodyKind::length || framing->length != 0)) {
    // RFC 9110 section 15.3.6: no content, but RFC 9112 section 6.3 has no exception for it: some will look for a body,
    // some will not. What is framed is passed on, what is not framed is none.
    worsen(head.tier, Tier::ambiguous);
    return {};
  }
  if (framing->kind == BodyKind::none) {
    head.framing.kind = BodyKind::until_close;  // RFC 9112 section 6.3, rule 8
    head.keep_alive = false;
  }
  return {};
}

}  // namespace steelyard::http

// What an HTTP listener does with requests beside choosing a server: part of the snapshot, immutable, shared between
// snapshots while it says the same. Its targets are listeners of their own (`Listener`), one for each server group that
// a listener or a rule of it sends requests to: scheduler, servers, health and counters are those of the target.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/service/access_control.h"
#include "dataplane/service/forwarding_rules.h"

namespace steelyard::service {

// What becomes of X-Forwarded-For: the client's address is appended to what came, replaces it, or is not told.
enum class ForwardedFor : std::uint8_t { append, replace, off };

enum class SameSite : std::uint8_t { unset, lax, strict, none };

// Session persistence by cookie. Of a target: a rule may have its own.
struct SessionCookie {
  enum class Kind : std::uint8_t {
    off,
    insert,   // ours: SERVERID
    rewrite,  // the application's, whose value we mark
  };
  Kind kind = Kind::off;
  std::string name = "SERVERID";
  std::chrono::seconds timeout{0};  // insert: since the client was last seen
  bool strict = false;              // insert: 503 instead of another server when that one is down
  bool drain = true;                // holders of valid cookies keep a server of weight 0
  SameSite same_site = SameSite::unset;

  friend bool operator==(const SessionCookie&, const SessionCookie&) = default;
};

// Everything is answered by a redirection to the same host, path and query.
struct Redirect {
  std::uint16_t status = 302;  // 301, 302, 303, 307, 308
  bool to_https = true;
  std::uint16_t port = 443;
  friend bool operator==(const Redirect&, const Redirect&) = default;
};

// A change of a message's fields. Names do not care for case. Fields of the connection and of framing cannot be
// changed.
struct HeaderEdit {
  enum class Kind : std::uint8_t {
    add,     // beside those of the same name
    set,     // instead of them
    remove,  // all of them
  };
  Kind kind = Kind::set;
  std::string name;
  std::string value;
  friend bool operator==(const HeaderEdit&, const HeaderEdit&) = default;
};

// The beginning of a request's path becomes another one before a server sees it.
struct PathEdit {
  std::string prefix;       // begins with "/"; other paths stay as they are
  std::string replacement;  // empty: the prefix is taken away; what is left always begins with "/"
  friend bool operator==(const PathEdit&, const PathEdit&) = default;
};

// An answer without a server.
struct FixedAnswer {
  std::uint16_t status = 403;
  std::string content_type = "text/plain";
  std::string body;
  bool denied = true;  // it is told as a refusal
  friend bool operator==(const FixedAnswer&, const FixedAnswer&) = default;
};

// Answers that go gzipped to clients that take it.
struct Gzip {
  std::uint32_t least_octets = 1'024;  // of a body whose length is known
  // Media types without parameters, in lower case.
  std::vector<std::string> types{"text/html",
                                 "text/plain",
                                 "text/css",
                                 "text/xml",
                                 "text/javascript",
                                 "application/javascript",
                                 "application/x-javascript",
                                 "application/json",
                                 "application/xml",
                                 "application/rss+xml",
                                 "application/atom+xml"};
  friend bool operator==(const Gzip&, const Gzip&) = default;
};

struct HttpSettings {
  std::chrono::milliseconds header_timeout{10'000};     // from a request's first octet to its head's end
  std::chrono::milliseconds idle_timeout{15'000};       // of a client between requests
  std::chrono::milliseconds request_timeout{60'000};    // to the answer's head, and between pieces of bodies
  std::chrono::milliseconds connect_timeout{5'000};     // to a server, all tries together
  std::chrono::milliseconds queue_timeout{5'000};       // of requests that wait for a server with room; 0: none waits
  std::uint32_t queue_length = 1'024;                   // requests of a target that wait, in each worker
  std::chrono::milliseconds tunnel_timeout{3'600'000};  // of silence after a 101
  std::uint32_t most_header_octets = 32'768;            // of a head
  std::uint32_t most_fields = 128;                      // of a head
  std::uint32_t most_target_octets = 8'192;             // of a request's target
  std::uint64_t most_body_octets = 0;                   // 0: any
  std::uint32_t most_requests = 0;                      // of a client's connection; 0: any
  ForwardedFor forwarded_for = ForwardedFor::append;
  bool forwarded_proto = false;
  bool forwarded_port = false;
  bool forwarded_client_port = false;
  bool slb_id = false;
  bool slb_ip = false;
  bool https = false;         // what X-Forwarded-Proto says
  std::string load_balancer;  // what SLB-ID says
  SessionCookie cookie;
  std::optional<Redirect> redirect;
  std::vector<FixedAnswer> error_pages;  // instead of Steelyard's own, by status
  std::string hash_field;                // of a target with scheduler `header`: the field's name
  std::optional<Gzip> gzip;              // none: off
  // Of a target: what happens to its messages.
  std::vector<HeaderEdit> request_edits;
  std::vector<HeaderEdit> answer_edits;
  std::optional<PathEdit> path_edit;
  std::optional<FixedAnswer> fixed_answer;       // then it needs no servers
  std::shared_ptr<const ForwardingRules> rules;  // null: none
  // Whose connections begin with a PROXY header that tells the client's addresses; null: nobody's.
  std::shared_ptr<const AccessControl> proxies;
};

}  // namespace steelyard::service

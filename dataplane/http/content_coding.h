// Content codings (RFC 9110 sections 8.4 and 12.5): may an answer be gzipped on its way, does its client want that, and
// what becomes of its fields. Pure, nothing here allocates.
//
// An answer may be when its status is one of 200 to 203 (as HAProxy has it), 403 or 404 (as nginx has them, too), its
// type is one of those that are configured, its length is enough or not known before, and nobody has coded it or
// forbids that. What was a strong entity-tag becomes a weak one (section 8.8.1: the octets are others now), as nginx
// and HAProxy do; what tells of octets that are not sent any more is left out: Accept-Ranges as nginx does, Content-MD5
// as Apache does, and its successors (RFC 9530).
#pragma once

#include <span>
#include <string_view>

#include "dataplane/http/head.h"
#include "dataplane/http/writer.h"
#include "dataplane/service/http_settings.h"

namespace steelyard::http {

// Does a request with these fields take gzip? By all its Accept-Encoding fields together: gzip, x-gzip or * with a
// quality above 0 that is not below that of identity. A name that stands twice counts by the lower quality, one with a
// quality that cannot be read has 0. Without such a field nobody has asked for it.
[[nodiscard]] bool accepts_gzip(std::span<const Field> request);

// May the answer be gzipped for those who want that? So it is also when it has to be told that it varies.
[[nodiscard]] bool is_compressible(const ResponseHead& head, const service::Gzip& gzip);

// Does a Vary among the answer's fields say already that it depends on Accept-Encoding?
[[nodiscard]] bool tells_coding_varies(std::span<const Field> answer);

// Writes what becomes of a field of an answer that is gzipped, which may be nothing. False: it stays as it is.
[[nodiscard]] bool write_field_of_gzipped(HeadWriter& writer, const Field& field);

}  // namespace steelyard::http

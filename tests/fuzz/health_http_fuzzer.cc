// Feeds a hostile server's answer to the HTTP probe's reader. Beyond memory safety it checks that the verdict does not
// depend on how the bytes are cut up, and that no byte of the server beyond plain text gets into a reason.
//
// Input: one byte of method and accepted classes, one byte of seed for the cuts, then the answer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "healthcheck/http_answer.h"
#include "tests/fuzz/input.h"

namespace {

using namespace steelyard::healthcheck;
using steelyard::fuzz::require;

// The next size of a piece: a small linear congruential generator, so that the input alone decides.
std::size_t next_piece(std::uint32_t& state) {
  state = state * 1664525U + 1013904223U;
  return 1 + (state >> 24U) % 64;
}

HttpAnswer::Verdict judge_in_pieces(HttpAnswer reader, std::span<const char> answer, std::uint32_t seed) {
  while (!answer.empty()) {
    const std::size_t piece = std::min(next_piece(seed), answer.size());
    if (auto verdict = reader.feed(answer.first(piece)))
      return *verdict;
    answer = answer.subspan(piece);
  }
  return reader.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2)
    return 0;
  const HttpMethod method = (data[0] & 1U) != 0 ? HttpMethod::get : HttpMethod::head;
  StatusClasses accepted;
  for (unsigned hundreds = 1; hundreds <= 5; ++hundreds) {
    if (((data[0] >> hundreds) & 1U) != 0)
      accepted.allow(hundreds);
  }
  const std::span<const char> answer(reinterpret_cast<const char*>(data) + 2, size - 2);

  HttpAnswer whole(method, accepted);
  auto verdict = whole.feed(answer);
  if (!verdict)
    verdict = whole.finish();
  require(verdict->reason.size() < 200);
  require(std::all_of(verdict->reason.begin(), verdict->reason.end(), [](char c) { return c >= ' ' && c < '\x7f'; }));
  require(judge_in_pieces(HttpAnswer(method, accepted), answer, data[1]) == *verdict);
  return 0;
}

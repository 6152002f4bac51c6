// Builds text in Prometheus' exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): each family
// once, with HELP and TYPE, its samples together, however they were added.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace steelyard::control {

// One thread. 10,000 servers make some 50,000 samples: one costs a hash probe and appending to a string.
class PrometheusText {
 public:
  // Label names are ours and valid; values are escaped. Only looked at during a call.
  using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

  struct Bucket {
    double limit = 0;         // inclusive, as `le` says
    std::uint64_t below = 0;  // how many there are up to it
  };

  class Family {
   public:
    Family& add(const Labels& labels, double value);
    template <std::integral Number>
    Family& add(const Labels& labels, Number value) {
      return add_text(labels, std::to_string(value));
    }

    // Of a histogram: `buckets` by their limits, and the bucket of all.
    Family& add_histogram(const Labels& labels, std::span<const Bucket> buckets, std::uint64_t count, double sum);

   private:
    friend class PrometheusText;
    explicit Family(std::string_view name) : name_(name) {}
    Family& add_text(const Labels& labels, std::string_view value, std::string_view suffix = {});

    std::string name_;
    std::string text_;
  };

  PrometheusText() = default;
  PrometheusText(const PrometheusText&) = delete;
  PrometheusText& operator=(const PrometheusText&) = delete;

  // The family of that name; made at the first call, and help and type are those of the first call. The reference
  // stays valid.
  Family& counter(std::string_view name, std::string_view help) { return family(name, help, "counter"); }
  Family& gauge(std::string_view name, std::string_view help) { return family(name, help, "gauge"); }

  Family& histogram(std::string_view name, std::string_view help) { return family(name, help, "histogram"); }

  // Everything, in the order in which families were first named.
  [[nodiscard]] std::string str() const;

 private:
  Family& family(std::string_view name, std::string_view help, std::string_view type);

  std::deque<Family> families_;
  std::unordered_map<std::string_view, Family*> by_name_;  // keys lie in families_
};

}  // namespace steelyard::control

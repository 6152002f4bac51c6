// Builds text in Prometheus' exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): each family
// once, with HELP and TYPE, its samples together, however they were added.
#pragma once

#include <concepts>
#include <cstddef>
#include <deque>
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

  class Family {
   public:
    Family& add(const Labels& labels, double value);
    template <std::integral Number>
    Family& add(const Labels& labels, Number value) {
      return add_text(labels, std::to_string(value));
    }

   private:
    friend class PrometheusText;
    explicit Family(std::string_view name) : name_(name) {}
    Family& add_text(const Labels& labels, std::string_view value);

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

  // Everything, in the order in which families were first named.
  [[nodiscard]] std::string str() const;

 private:
  Family& family(std::string_view name, std::string_view help, std::string_view type);

  std::deque<Family> families_;
  std::unordered_map<std::string_view, Family*> by_name_;  // keys lie in families_
};

}  // namespace steelyard::control

// Writes Prometheus exposition text: one block per name, samples under it. Not responsible for
// values. Invariant: begin() is called once for each name, and sample() only after it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace sink::admin_server {

class MetricWriter {
 public:
  using Label = std::pair<std::string_view, std::string_view>;
  using Labels = std::initializer_list<Label>;

  // `name` without the prefix "sinkd_"; `type` is counter, gauge or histogram.
  void begin(std::string_view name, std::string_view type, std::string_view help);
  // A name that is not ours, such as process_cpu_seconds_total.
  void begin_foreign(std::string_view name, std::string_view type, std::string_view help);

  void sample(uint64_t value, Labels labels = {}) { add("", labels, std::to_string(value)); }
  void sample(double value, Labels labels = {}) { add("", labels, number(value)); }
  // One more line of a histogram: "_bucket", "_sum" or "_count".
  void part(std::string_view suffix, double value, Labels labels = {}) {
    add(suffix, labels, number(value));
  }

  // A whole block of one sample.
  template <class Value>
  void single(std::string_view name, std::string_view type, std::string_view help, Value value) {
    begin(name, type, help);
    sample(value);
  }

  std::string take() { return std::move(text_); }
  // Shortest text that reads back as the same number.
  static std::string number(double value);

 private:
  void add(std::string_view suffix, Labels labels, std::string_view value);

  std::string name_;
  std::string text_;
};

}  // namespace sink::admin_server

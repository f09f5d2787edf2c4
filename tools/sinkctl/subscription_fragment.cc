#include "tools/sinkctl/subscription_fragment.h"

#include <algorithm>

#include "daemon/config/to_toml.h"

namespace sink::tools {
namespace {

// 18 digits always fit TOML's 64-bit integers; longer ones are left to the reader of the text.
bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 18 && (text == "0" || text.front() != '0') &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// A number as one, anything else as text, for the reader to refuse with the proper reason.
std::string number_or_text(const std::string& value) {
  return is_number(value) ? value : config::toml_text(value);
}

class Fragment {
 public:
  void text(const char* key, const std::string& value) {
    if (!value.empty()) line(key, config::toml_text(value));
  }
  void number(const char* key, const std::string& value) {
    if (!value.empty()) line(key, number_or_text(value));
  }
  void texts(const char* key, const std::vector<std::string>& values) {
    if (!values.empty()) line(key, config::toml_texts(values));
  }
  void numbers(const char* key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    std::string list;
    for (const std::string& value : values)
      list += (list.empty() ? "" : ", ") + number_or_text(value);
    line(key, "[" + list + "]");
  }
  void header(const char* text) { text_ += std::string(text) + "\n"; }
  std::string take() { return std::move(text_); }

 private:
  void line(const char* key, const std::string& value) {
    text_ += std::string(key) + " = " + value + "\n";
  }
  std::string text_;
};

}  // namespace

tl::expected<std::string, std::string> subscription_fragment(const SubscriptionOptions& options) {
  Fragment fragment;
  fragment.header("[[subscription]]");
  fragment.text("name", options.name);
  fragment.text("consumer", options.consumer);
  fragment.texts("sources", options.sources);
  fragment.numbers("event_types", options.event_types);
  fragment.texts("keys", options.keys);
  fragment.text("key_format", options.key_format);
  fragment.text("order", options.order);
  fragment.number("in_flight", options.in_flight);
  fragment.text("ack_timeout", options.ack_timeout);
  fragment.number("max_deliveries", options.max_deliveries);
  fragment.texts("retry", options.retry);
  fragment.text("after_quarantine", options.after_quarantine);
  fragment.text("expire_after", options.expire_after);
  for (const std::string& rule : options.on_nack) {
    const size_t equals = rule.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == rule.size()) {
      return tl::unexpected("--on-nack '" + rule + "' is not MACHINE=ACTION");
    }
    fragment.header("[[subscription.on_nack]]");
    fragment.text("machine", rule.substr(0, equals));
    fragment.text("action", rule.substr(equals + 1));
  }
  return fragment.take();
}

}  // namespace sink::tools

#include "daemon/config/to_toml.h"

#include <cstdint>

#include "daemon/config/names.h"
#include "daemon/config/units.h"

namespace sink::config {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

std::string durations(const std::vector<uint64_t>& list_ms) {
  std::vector<std::string> texts;
  for (const uint64_t ms : list_ms) texts.push_back(format_duration(ms));
  return toml_texts(texts);
}

std::string machine(const broker::NackRule& rule) {
  if (rule.any) return toml_text("*");
  std::string hex;
  for (const char c : rule.machine) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kHexDigits[byte >> 4];
    hex += kHexDigits[byte & 15];
  }
  return toml_text(hex);
}

std::string action(const broker::NackRule& rule) {
  return toml_text(word_for(rule.action, kNackActionNames));
}

}  // namespace

std::string toml_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      result += "\\u00";
      result += kHexDigits[byte >> 4];
      result += kHexDigits[byte & 15];
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string toml_texts(const std::vector<std::string>& texts) {
  std::string result;
  for (const std::string& text : texts) result += (result.empty() ? "" : ", ") + toml_text(text);
  return "[" + result + "]";
}

// Integers of TOML end at 2^63 - 1; what is larger is written as text, which is read the same.
std::string toml_event_types(const std::vector<broker::EventTypeRange>& ranges) {
  std::string text;
  for (const broker::EventTypeRange& range : ranges) {
    if (!text.empty()) text += ", ";
    if (range == broker::EventTypeRange{}) {
      text += "\"*\"";
    } else if (range.first != range.last) {
      text += "\"" + std::to_string(range.first) + "-" + std::to_string(range.last) + "\"";
    } else if (range.first > uint64_t{INT64_MAX}) {
      text += "\"" + std::to_string(range.first) + "\"";
    } else {
      text += std::to_string(range.first);
    }
  }
  return "[" + text + "]";
}

std::vector<std::pair<std::string, std::string>> subscription_values(
    const broker::SubscriptionSpec& spec) {
  return {
      {"name", toml_text(spec.name)},
      {"consumer", toml_text(spec.consumer)},
      {"sources", toml_texts(spec.sources)},
      {"event_types", toml_event_types(spec.event_types)},
      {"keys", toml_texts(spec.keys)},
      {"key_format", toml_text(spec.key_format)},
      {"order", toml_text(word_for(spec.order, kOrderNames))},
      {"newest_first", spec.newest_first ? "true" : "false"},
      {"ack", toml_text(word_for(spec.ack, kAckNames))},
      {"priority", std::to_string(spec.priority)},
      {"in_flight", std::to_string(spec.in_flight)},
      {"ack_timeout", toml_text(format_duration(spec.ack_timeout_ms))},
      {"max_deliveries", std::to_string(spec.max_deliveries)},
      {"retry", durations(spec.retry_ms)},
      {"after_quarantine", toml_text(word_for(spec.after_quarantine, kAfterQuarantineNames))},
      {"expire_after", toml_text(format_duration(spec.expire_after_ms))},
      {"held_max", std::to_string(spec.held_max)},
      {"quarantine_max", std::to_string(spec.quarantine_max)},
  };
}

std::string on_nack_inline(const std::vector<broker::NackRule>& rules) {
  std::string text;
  for (const broker::NackRule& rule : rules) {
    if (!text.empty()) text += ", ";
    text += "{ machine = " + machine(rule) + ", action = " + action(rule) + " }";
  }
  return "[" + text + "]";
}

std::string to_toml(const broker::SubscriptionSpec& spec) {
  std::string text = "[[subscription]]\n";
  for (const auto& [key, value] : subscription_values(spec)) text += key + " = " + value + "\n";
  for (const broker::NackRule& rule : spec.on_nack) {
    text += "\n[[subscription.on_nack]]\n";
    text += "machine = " + machine(rule) + "\n";
    text += "action = " + action(rule) + "\n";
  }
  return text;
}

}  // namespace sink::config

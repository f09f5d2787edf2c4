// The [[subscription]] and [[client_policy]] parts of the schema, with their shapes of their own:
// ranges of event types and machine messages in hex.
#include <charconv>
#include <optional>
#include <utility>

#include "daemon/config/read_tables.h"

namespace sink::config {
namespace {

using broker::EventTypeRange;
using broker::NackRule;

constexpr uint64_t kDay = 86'400'000;
constexpr size_t kRetriesMax = 64;
constexpr size_t kMachineMax = 4'096;  // bytes of a machine message in a rule

constexpr Range<uint32_t> kInFlight{1, 4'095};
constexpr Range<uint64_t> kAckTimeouts{10, kDay};
constexpr Range<uint32_t> kPriorities{0, broker::kPriorityMax};
constexpr Range<uint32_t> kDeliveries{0, 1'000'000};
constexpr Range<uint64_t> kRetries{1, 30 * kDay};
constexpr Range<uint64_t> kExpiries{0, 3'650 * kDay};
constexpr Range<uint32_t> kEventCounts{1, 100'000'000};
constexpr Range<uint32_t> kPolicySubscriptions{0, 10'000};
constexpr Range<uint32_t> kPolicyEvents{0, 10'000'000};
constexpr Range<uint64_t> kPolicyBytes{0, uint64_t{10} << 30};

bool parse_type(std::string_view text, uint64_t& type) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, type);
  return error == std::errc() && rest == end;
}

// 17, "17", "10-19" or "*".
std::optional<EventTypeRange> event_types_of(const toml::node& node) {
  EventTypeRange range;
  if (const auto* number = node.as_integer()) {
    if (number->get() < 0) return std::nullopt;
    range.first = range.last = static_cast<uint64_t>(number->get());
    return range;
  }
  const auto* value = node.as_string();
  if (value == nullptr) return std::nullopt;
  const std::string_view text = value->get();
  if (text == "*") return range;
  const size_t dash = text.find('-');
  const std::string_view last = dash == std::string_view::npos ? text : text.substr(dash + 1);
  if (!parse_type(text.substr(0, dash), range.first) || !parse_type(last, range.last))
    return std::nullopt;
  if (range.first > range.last) return std::nullopt;
  return range;
}

void read_event_types(TableReader& reader, std::vector<EventTypeRange>& out) {
  const toml::node* node = reader.node("event_types");
  if (node == nullptr) return;
  const char* hint = "write a list of numbers and ranges: [1, \"10-19\"]; leave it out for all";
  const toml::array* list = node->as_array();
  if (list == nullptr || list->empty()) {
    reader.refuse("event_types", *node, list == nullptr ? "is not a list" : "is an empty list",
                  hint);
    return;
  }
  std::vector<EventTypeRange> ranges;
  for (const toml::node& element : *list) {
    if (const auto range = event_types_of(element)) {
      ranges.push_back(*range);
    } else {
      reader.refuse("event_types", element,
                    "is neither a number nor a range with its low end first", hint);
    }
  }
  if (ranges.size() == list->size()) out = std::move(ranges);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decode_hex(std::string_view text) {
  if (text.size() % 2 != 0 || text.size() > 2 * kMachineMax) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

void read_machine(TableReader& reader, const toml::table& table, NackRule& rule) {
  std::string text;
  reader.text("machine", text);
  rule.any = text == "*";
  if (rule.any) return;
  if (auto bytes = decode_hex(text)) {
    rule.machine = std::move(*bytes);
  } else {
    reader.refuse("machine", *table.get("machine"), "\"" + text + "\" is not hex",
                  "write two hex digits per byte, such as \"01\" or \"ff2a\", or \"*\" for any");
  }
}

void read_rules(TableReader& reader, const std::string& file, std::vector<NackRule>& rules,
                Findings& findings) {
  for (const toml::table* table : reader.tables("on_nack")) {
    const std::string path = reader.path_of("on_nack[" + std::to_string(rules.size()) + "]");
    const auto place = table->source().begin;
    findings.origins[path] = {file, place.line, place.column};
    NackRule& rule = rules.emplace_back();
    TableReader row(*table, path, file, findings);
    read_machine(row, *table, rule);
    row.choice("action", rule.action, kNackActionNames);
    row.report_unknown();
  }
}

void read_retry(TableReader& reader, const toml::table& table, std::vector<uint64_t>& retry_ms) {
  reader.durations("retry", retry_ms, kRetries);
  if (retry_ms.empty() || retry_ms.size() > kRetriesMax)
    reader.refuse("retry", *table.get("retry"),
                  "has " + std::to_string(retry_ms.size()) + " entries",
                  "write 1 to " + std::to_string(kRetriesMax) +
                      " durations; the last one repeats: [\"1s\", \"5s\", \"30s\"]");
}

}  // namespace

void read_subscription(const toml::table& table, const std::string& path, const std::string& file,
                       broker::SubscriptionSpec& spec, Findings& findings) {
  TableReader reader(table, path, file, findings);
  reader.text("name", spec.name);
  reader.text("consumer", spec.consumer);
  reader.texts("sources", spec.sources);
  read_event_types(reader, spec.event_types);
  reader.texts("keys", spec.keys);
  reader.text("key_format", spec.key_format);
  reader.choice("order", spec.order, kOrderNames);
  reader.flag("newest_first", spec.newest_first);
  reader.choice("ack", spec.ack, kAckNames);
  reader.count("priority", spec.priority, kPriorities);
  reader.count("in_flight", spec.in_flight, kInFlight);
  reader.duration("ack_timeout", spec.ack_timeout_ms, kAckTimeouts);
  reader.count("max_deliveries", spec.max_deliveries, kDeliveries);
  read_retry(reader, table, spec.retry_ms);
  reader.choice("after_quarantine", spec.after_quarantine, kAfterQuarantineNames);
  reader.duration("expire_after", spec.expire_after_ms, kExpiries);
  reader.count("held_max", spec.held_max, kEventCounts);
  reader.count("quarantine_max", spec.quarantine_max, kEventCounts);
  read_rules(reader, file, spec.on_nack, findings);
  reader.report_unknown();
}

void read_client_policy(const toml::table& table, const std::string& path, const std::string& file,
                        broker::ClientPolicy& policy, Findings& findings) {
  TableReader reader(table, path, file, findings);
  reader.text("clients", policy.clients);
  reader.texts("sources", policy.sources);
  read_event_types(reader, policy.event_types);
  reader.texts("keys", policy.keys);
  reader.count("subscriptions", policy.subscriptions_max, kPolicySubscriptions);
  reader.flag("seek", policy.seek);
  reader.texts("expose", policy.expose);
  reader.texts("lookup", policy.lookup);
  reader.count("events_per_second", policy.rate.events_per_second, kPolicyEvents);
  reader.size("bytes_per_second", policy.rate.bytes_per_second, kPolicyBytes);
  reader.report_unknown();
}

}  // namespace sink::config

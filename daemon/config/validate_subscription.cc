#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/rule_check.h"

namespace sink::config {
namespace {

using broker::NackRule;

constexpr size_t kPatternMax = 1'024;

void check_names(const broker::SubscriptionSpec& spec, const std::string& path, RuleCheck& check) {
  if (spec.name.empty()) {
    check.refuse(path + ".name", "is missing or empty", "write name = \"readings\", say");
  } else if (!broker::is_subscription_name(spec.name)) {
    check.refuse(path + ".name", "is not a name",
                 "use up to 128 letters, digits and . _ - : @ without spaces");
  }
  if (spec.consumer.empty() || spec.consumer.size() > kPatternMax)
    check.refuse(path + ".consumer", "is missing, empty or too long",
                 "write the client_id that receives the events, or a glob such as \"backend-*\"");
}

void check_patterns(const std::vector<std::string>& patterns, const std::string& key,
                    RuleCheck& check) {
  const bool good = !patterns.empty() &&
                    std::all_of(patterns.begin(), patterns.end(), [](const std::string& pattern) {
                      return !pattern.empty() && pattern.size() <= kPatternMax;
                    });
  if (!good)
    check.refuse(key, "is empty, or one of its globs is empty or too long",
                 "write one glob or more, such as [\"meter-*\"]; leave it out for all");
}

// The first "{...}" of `text` that is not one of `known`, or a brace without its partner; empty
// when all is well. A backslash takes the meaning away when `escapes` is set.
std::string_view unknown_placeholder(std::string_view text,
                                     const std::vector<std::string_view>& known, bool escapes) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (escapes && text[i] == '\\') {
      ++i;
      continue;
    }
    if (text[i] == '}') return text.substr(i, 1);
    if (text[i] != '{') continue;
    const size_t end = text.find('}', i);
    if (end == std::string_view::npos) return text.substr(i);
    const std::string_view placeholder = text.substr(i, end - i + 1);
    if (std::find(known.begin(), known.end(), placeholder) == known.end()) return placeholder;
    i = end;
  }
  return {};
}

void check_keys(const broker::SubscriptionSpec& spec, const std::string& path, RuleCheck& check) {
  check_patterns(spec.keys, path + ".keys", check);
  for (const std::string& pattern : spec.keys) {
    const std::string_view unknown = unknown_placeholder(pattern, {"{consumer}"}, true);
    if (unknown.empty()) continue;
    check.refuse(path + ".keys", "\"" + std::string(unknown) + "\" is no placeholder",
                 "only {consumer} is replaced; write \\\\{ in double quotes for a brace");
    return;
  }
}

void check_key_format(const std::string& format, const std::string& path, RuleCheck& check) {
  const std::string key = path + ".key_format";
  const std::string_view unknown = unknown_placeholder(format, {"{key}", "{source}"}, false);
  if (!unknown.empty()) {
    check.refuse(key, "\"" + std::string(unknown) + "\" is no placeholder",
                 "use {key} and {source}, such as \"{source}/{key}\"");
  } else if (format.find("{key}") == std::string::npos) {
    check.refuse(key, "has no {key}: the consumer could not tell keys apart",
                 "write \"{key}\" or \"{source}/{key}\"");
  }
}

void check_newest_first(const broker::SubscriptionSpec& spec, const std::string& path,
                        RuleCheck& check) {
  const std::string key = path + ".newest_first";
  if (!spec.newest_first) return;
  if (spec.ack == broker::AckWhen::settled && spec.expire_after_ms == 0 &&
      !check.doubtful(path + ".expire_after"))
    check.refuse(key,
                 "lets the oldest wait without end, and with ack = \"settled\" its publisher, too",
                 "bound it with expire_after, or leave out newest_first or ack");
  if (spec.order == broker::Order::none || check.doubtful(path + ".order")) return;
  check.refuse(key, "contradicts order = \"key\": newer events of a key would overtake older ones",
               "write order = \"none\" as well, or leave newest_first out");
}

void check_rules(const broker::SubscriptionSpec& spec, const std::string& path, RuleCheck& check) {
  for (size_t i = 0; i < spec.on_nack.size(); ++i) {
    const NackRule& rule = spec.on_nack[i];
    const std::string row = path + ".on_nack[" + std::to_string(i) + "]";
    const auto missing = [&check, &row](const char* key) {
      return check.written(row) && !check.written(row + key);
    };
    for (const char* key : {".machine", ".action"}) {
      if (missing(key))
        check.refuse(row + key, "is missing", "write machine = \"01\" and action = \"retry\", say");
    }
    if (check.doubtful(row + ".machine") || missing(".machine")) continue;
    for (size_t earlier = 0; earlier < i; ++earlier) {
      const NackRule& other = spec.on_nack[earlier];
      const std::string other_key = path + ".on_nack[" + std::to_string(earlier) + "].machine";
      if (check.doubtful(other_key) || !check.written(other_key)) continue;
      const bool same = rule.any == other.any && rule.machine == other.machine;
      if (!same && !other.any) continue;
      check.refuse(
          row + ".machine",
          "is never reached: row " + std::to_string(earlier + 1) + " takes the same messages first",
          "remove one of the two, and put \"*\" last");
      break;
    }
  }
}

}  // namespace

void check_subscription(const broker::SubscriptionSpec& spec, const std::string& path,
                        RuleCheck& check) {
  check_names(spec, path, check);
  check_patterns(spec.sources, path + ".sources", check);
  check_keys(spec, path, check);
  check_key_format(spec.key_format, path, check);
  check_newest_first(spec, path, check);
  check_rules(spec, path, check);
}

}  // namespace sink::config

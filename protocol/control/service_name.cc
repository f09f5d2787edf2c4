#include "protocol/control/service_name.h"

#include <algorithm>
#include <vector>

namespace sink::protocol {
namespace {

constexpr size_t kLabelMax = 63;
constexpr size_t kDigitsMax = 9;

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kLabelMax &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-'; });
}

bool is_name(std::string_view name) {
  const auto labels = split(name, '.');
  return labels.size() >= 2 && std::all_of(labels.begin(), labels.end(), is_label);
}

std::optional<uint32_t> number(std::string_view text) {
  if (text.empty() || text.size() > kDigitsMax || (text[0] == '0' && text.size() > 1))
    return std::nullopt;
  uint32_t value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  return value;
}

}  // namespace

std::optional<AskedService> parse_asked_service(std::string_view text) {
  if (text.size() > kServiceNameMax) return std::nullopt;
  const size_t at = text.find('@');
  AskedService asked;
  asked.name = text.substr(0, at);
  if (!is_name(asked.name)) return std::nullopt;
  if (at == std::string_view::npos) return asked;
  const auto parts = split(text.substr(at + 1), '.');
  std::optional<uint32_t>* const fields[] = {&asked.major, &asked.minor, &asked.patch};
  if (parts.size() > std::size(fields)) return std::nullopt;
  for (size_t i = 0; i < parts.size(); ++i) {
    *fields[i] = number(parts[i]);
    if (!*fields[i]) return std::nullopt;
  }
  return asked;
}

std::optional<ServiceName> parse_service_name(std::string_view text) {
  auto asked = parse_asked_service(text);
  if (!asked || !asked->patch) return std::nullopt;
  return ServiceName{std::move(asked->name), {*asked->major, *asked->minor, *asked->patch}};
}

std::string to_text(const ServiceName& name) {
  return name.name + "@" + std::to_string(name.version.major) + "." +
         std::to_string(name.version.minor) + "." + std::to_string(name.version.patch);
}

bool is_compatible(const AskedService& asked, const ServiceVersion& offered) {
  if (!asked.major) return true;
  if (offered.major != *asked.major) return false;
  if (offered.major == 0 && asked.minor && offered.minor != *asked.minor) return false;
  return offered >= ServiceVersion{*asked.major, asked.minor.value_or(0), asked.patch.value_or(0)};
}

}  // namespace sink::protocol

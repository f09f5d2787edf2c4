#include "protocol/control/uuid.h"

namespace sink::protocol {
namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr size_t kDashed = 36;  // length with dashes
constexpr size_t kPlain = 32;

bool dash_before(size_t byte) { return byte == 4 || byte == 6 || byte == 8 || byte == 10; }

std::optional<uint8_t> digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

}  // namespace

std::string to_text(const Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (dash_before(i)) text += '-';
    text += kDigits[uuid[i] >> 4];
    text += kDigits[uuid[i] & 15];
  }
  return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != kDashed && text.size() != kPlain) return std::nullopt;
  const bool dashed = text.size() == kDashed;
  Uuid uuid{};
  size_t at = 0;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (dashed && dash_before(i) && text[at++] != '-') return std::nullopt;
    const auto high = digit(text[at]), low = digit(text[at + 1]);
    if (!high || !low) return std::nullopt;
    uuid[i] = static_cast<uint8_t>(*high << 4 | *low);
    at += 2;
  }
  return uuid;
}

}  // namespace sink::protocol

#include "daemon/admin/verbs.h"

#include <algorithm>
#include <charconv>

namespace sink::admin_server {

admin::Reply refuse(admin::Outcome outcome, std::string message, std::string hint) {
  admin::Reply reply;
  reply.outcome = outcome;
  reply.message = std::move(message);
  reply.hint = std::move(hint);
  return reply;
}

admin::Reply success(std::string message, uint64_t affected) {
  admin::Reply reply;
  reply.message = std::move(message);
  reply.affected = affected;
  return reply;
}

std::string counted(uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string told(const admin::Command& command, std::string_view doing, std::string_view did) {
  return command.dry_run ? "would " + std::string(doing) : std::string(did);
}

size_t page_limit(const admin::Command& command, size_t usual, size_t limit_max) {
  return command.limit == 0 ? usual : std::min<size_t>(command.limit, limit_max);
}

std::optional<uint64_t> number_after(const std::string& after) {
  if (after.empty()) return 0;
  uint64_t number = 0;
  const char* end = after.data() + after.size();
  const auto [stopped, error] = std::from_chars(after.data(), end, number);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return number;
}

admin::Reply refuse_after(const std::string& after) {
  return refuse(admin::Outcome::usage, "'" + printable(after) + "' is no place in this list",
                "ask for the first page without one, then go on with what each page says is next");
}

std::string printable(std::string_view text, size_t bytes_max) {
  std::string out(text.substr(0, bytes_max));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (text.size() > bytes_max) out += "...";
  return out;
}

}  // namespace sink::admin_server

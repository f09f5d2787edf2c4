#include "client/session_record.h"

#include <array>
#include <charconv>

#include "protocol/crc32c.h"
#include "protocol/in_flight_window.h"

namespace sink::client {
namespace {

constexpr std::string_view kFormat = "1";
constexpr char kHexDigits[] = "0123456789abcdef";

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += kHexDigits[static_cast<uint8_t>(byte) >> 4];
    text += kHexDigits[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

std::optional<std::string> from_hex(std::string_view text) {
  std::string bytes;
  if (text.size() % 2 != 0) return std::nullopt;
  for (; !text.empty(); text.remove_prefix(2)) {
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + 2, byte, 16);
    if (error != std::errc() || end != text.data() + 2) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::string checksum_line(std::string_view lines) {
  const uint32_t crc = crc32c(0, lines);
  std::string text = "crc32c = ";
  for (int shift = 28; shift >= 0; shift -= 4) text += kHexDigits[(crc >> shift) & 15];
  return text + "\n";
}

// Appends "name = a b c\n".
template <class... Values>
void append_line(std::string& text, std::string_view name, const Values&... values) {
  text.append(name).append(" =");
  const auto append = [&](const auto& value) {
    text += ' ';
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>) {
      text += std::to_string(value);
    } else {
      text += value;
    }
  };
  (append(values), ...);
  text += '\n';
}

std::string_view as_text(const protocol::SessionId& id) {
  return {reinterpret_cast<const char*>(id.data()), id.size()};
}

// Reads the lines one after the other, and the words of one from left to right.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  // Goes to the next line if it has this name.
  bool at(std::string_view name) {
    const size_t end = text_.find('\n');
    if (end == std::string_view::npos) return false;
    const std::string_view line = text_.substr(0, end);
    if (line.substr(0, name.size()) != name || line.substr(name.size(), 2) != " =") return false;
    words_ = line.substr(name.size() + 2);
    text_.remove_prefix(end + 1);
    return true;
  }

  std::optional<std::string_view> word() {
    if (words_.empty() || words_.front() != ' ') return std::nullopt;
    words_.remove_prefix(1);
    const std::string_view found = words_.substr(0, words_.find(' '));
    words_.remove_prefix(found.size());
    return found;
  }

  template <class Number>
  bool number(Number& to) {
    const auto digits = word();
    if (!digits) return false;
    const char* const last = digits->data() + digits->size();
    const auto [end, error] = std::from_chars(digits->data(), last, to);
    return error == std::errc() && end == last;
  }
  bool tally(protocol::Tally& to) { return number(to.count) && number(to.checksum); }
  bool text(std::string& to) {
    const auto digits = word();
    if (!digits || digits->empty() || digits->front() != 'x') return false;
    auto bytes = from_hex(digits->substr(1));
    if (!bytes) return false;
    to = std::move(*bytes);
    return true;
  }
  bool line_ends() const { return words_.empty(); }
  bool over() const { return text_.empty(); }

 private:
  std::string_view text_;
  std::string_view words_;
};

bool read_message(Lines& lines, StoredSession::Message& message) {
  uint32_t queued = 0;
  if (!lines.number(message.message_id) || !lines.number(message.mark.number) ||
      !lines.number(message.mark.checksum_before) || !lines.number(queued) || !lines.line_ends())
    return false;
  message.queued = queued == 1;
  return queued <= 1 && message.message_id < protocol::kMessageIds;
}

bool read_refusal(Lines& lines, StoredSession::Refusal& refusal) {
  return lines.number(refusal.message_id) && lines.text(refusal.machine) &&
         lines.text(refusal.human) && lines.line_ends() &&
         refusal.message_id < protocol::kMessageIds;
}

bool read_session(Lines& lines, StoredSession& session) {
  const auto id = from_hex(lines.word().value_or(""));
  if (!id || id->size() != session.id.size() || !lines.line_ends()) return false;
  std::copy(id->begin(), id->end(), session.id.begin());
  if (!lines.at("server_instance_id") || !lines.number(session.server_instance_id)) return false;
  if (!lines.at("broke_at_ms") || !lines.number(session.broke_at_ms)) return false;
  if (!lines.at("ttl_ms") || !lines.number(session.ttl_ms)) return false;
  if (!lines.at("received") || !lines.tally(session.received)) return false;
  if (!lines.at("sent") || !lines.tally(session.sent) || !lines.number(session.answered_max) ||
      !lines.number(session.next_message_id) || session.next_message_id >= protocol::kMessageIds)
    return false;
  if (!lines.at("queued") || !lines.tally(session.queued)) return false;
  while (lines.at("in_flight")) {
    if (!read_message(lines, session.in_flight.emplace_back())) return false;
  }
  while (lines.at("refused")) {
    if (!read_refusal(lines, session.refusals.emplace_back())) return false;
  }
  return lines.line_ends();
}

}  // namespace

std::string to_text(const SessionRecord& record) {
  std::string text;
  append_line(text, "format", kFormat);
  append_line(text, "server", record.server);
  append_line(text, "address", record.address);
  if (!record.delivered_last.empty()) append_line(text, "delivered_last", record.delivered_last);
  if (record.session) {
    const StoredSession& session = *record.session;
    append_line(text, "session", hex(as_text(session.id)));
    append_line(text, "server_instance_id", session.server_instance_id);
    append_line(text, "broke_at_ms", session.broke_at_ms);
    append_line(text, "ttl_ms", session.ttl_ms);
    append_line(text, "received", session.received.count, session.received.checksum);
    append_line(text, "sent", session.sent.count, session.sent.checksum, session.answered_max,
                session.next_message_id);
    append_line(text, "queued", session.queued.count, session.queued.checksum);
    for (const auto& message : session.in_flight)
      append_line(text, "in_flight", message.message_id, message.mark.number,
                  message.mark.checksum_before, message.queued ? 1 : 0);
    for (const auto& refusal : session.refusals)
      append_line(text, "refused", refusal.message_id, "x" + hex(refusal.machine),
                  "x" + hex(refusal.human));
  }
  return text + checksum_line(text);
}

tl::expected<SessionRecord, std::string> session_record_from(std::string_view text) {
  const size_t checksum = text.rfind("crc32c = ");
  if (checksum == std::string_view::npos)
    return tl::unexpected(std::string("it is cut: its checksum is missing"));
  if (text.substr(checksum) != checksum_line(text.substr(0, checksum)))
    return tl::unexpected(std::string("its checksum is wrong"));
  Lines lines(text.substr(0, checksum));
  if (!lines.at("format") || lines.word() != kFormat)
    return tl::unexpected(std::string("it is not of this version of the library"));
  SessionRecord record;
  const auto unreadable = tl::unexpected(std::string("a line of it cannot be read"));
  if (!lines.at("server")) return unreadable;
  record.server = lines.word().value_or("");
  if (!lines.at("address")) return unreadable;
  record.address = lines.word().value_or("");
  if (lines.at("delivered_last")) record.delivered_last = lines.word().value_or("");
  if (lines.at("session") && !read_session(lines, record.session.emplace())) return unreadable;
  if (!lines.over()) return unreadable;
  return record;
}

}  // namespace sink::client

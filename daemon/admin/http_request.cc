#include "daemon/admin/http_request.h"

#include <algorithm>

namespace sink::admin_server {
namespace {

using Line = std::string_view;
template <class T>
using Result = tl::expected<T, HttpFault>;

constexpr tl::unexpected<HttpFault> kMalformed{HttpFault::malformed};

// RFC 9110, 5.6.2: what names are made of.
bool is_token(std::string_view text) {
  const auto is_token_char = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

// Takes a line off the front of a head, with or without its carriage return.
Line take_line(std::string_view& head) {
  const size_t end = head.find('\n');
  Line line = head.substr(0, end);
  head.remove_prefix(end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// The path of "/path?query" or "http://host/path?query"; nullopt: neither.
std::optional<std::string_view> path_of(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (equal_ignoring_case(target.substr(0, kScheme.size()), kScheme)) {
    target.remove_prefix(kScheme.size());
    const size_t slash = target.find_first_of("/?");
    if (slash == 0) return std::nullopt;
    if (slash == std::string_view::npos || target[slash] == '?') return "/";
    target.remove_prefix(slash);
  }
  if (target.empty() || target[0] != '/') return std::nullopt;
  return target.substr(0, target.find('?'));
}

struct Head {
  HttpRequest request;
  bool is_1_0 = false;
  unsigned hosts = 0;
};

Result<Head> parse_request_line(Line line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == Line::npos || first == last) return kMalformed;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method) || target.empty() || !is_visible(target)) return kMalformed;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (version.size() != 8 || version.substr(0, 5) != "HTTP/" || !is_digit(version[5]) ||
      version[6] != '.' || !is_digit(version[7]))
    return kMalformed;
  if (version[5] != '1') return tl::unexpected(HttpFault::version);
  Head head;
  head.is_1_0 = version[7] == '0';
  head.request.keeps_alive = !head.is_1_0;
  if (method == "GET") head.request.method = HttpMethod::get;
  if (method == "HEAD") head.request.method = HttpMethod::head;
  if (head.request.method == HttpMethod::other) return head;  // its target may have other forms
  const auto path = path_of(target);
  if (!path) return kMalformed;
  head.request.path = *path;
  return head;
}

void note_connection(std::string_view options, Head& head) {
  while (!options.empty()) {
    const size_t comma = options.find(',');
    const std::string_view option = trimmed(options.substr(0, comma));
    if (equal_ignoring_case(option, "close")) head.request.keeps_alive = false;
    if (equal_ignoring_case(option, "keep-alive") && head.is_1_0) head.request.keeps_alive = true;
    options = comma == std::string_view::npos ? "" : options.substr(comma + 1);
  }
}

Result<void> parse_field(Line line, Head& head) {
  const size_t colon = line.find(':');
  if (colon == Line::npos || !is_token(line.substr(0, colon))) return kMalformed;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  const auto is_control = [](char c) {
    return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
  };
  if (std::any_of(value.begin(), value.end(), is_control)) return kMalformed;
  if (equal_ignoring_case(name, "host")) ++head.hosts;
  if (equal_ignoring_case(name, "connection")) note_connection(value, head);
  if (equal_ignoring_case(name, "transfer-encoding")) head.request.has_body = true;
  if (equal_ignoring_case(name, "content-length") && value != "0") head.request.has_body = true;
  return {};
}

Result<HttpRequest> parse_head(std::string_view text) {
  auto head = parse_request_line(take_line(text));
  if (!head) return tl::unexpected(head.error());
  for (Line line = take_line(text); !line.empty(); line = take_line(text))
    if (auto done = parse_field(line, *head); !done) return tl::unexpected(done.error());
  // RFC 9112, 3.2: one Host, and only HTTP/1.0 may do without.
  if (head->hosts > 1 || (head->hosts == 0 && !head->is_1_0)) return kMalformed;
  return std::move(head->request);
}

}  // namespace

unsigned status_of(HttpFault fault) {
  switch (fault) {
    case HttpFault::malformed: return 400;
    case HttpFault::too_long: return 431;
    case HttpFault::version: return 505;
  }
  return 400;
}

// Behind the empty line that ends the head.
std::optional<size_t> HttpRequestReader::end_of_head() {
  for (size_t at = looked_at_; (at = buffer_.find('\n', at)) != std::string::npos; ++at) {
    const std::string_view behind = std::string_view(buffer_).substr(at + 1, 2);
    if (behind.substr(0, 1) == "\n") return at + 2;
    if (behind == "\r\n") return at + 3;
    if (behind.empty() || behind == "\r") {
      looked_at_ = at;
      return std::nullopt;
    }
  }
  looked_at_ = buffer_.size();
  return std::nullopt;
}

tl::expected<std::optional<HttpRequest>, HttpFault> HttpRequestReader::next() {
  // RFC 9112, 2.2: empty lines before a request are overlooked.
  if (looked_at_ == 0) buffer_.erase(0, buffer_.find_first_not_of("\r\n"));
  const auto end = end_of_head();
  if (end.value_or(buffer_.size()) > kHeadBytesMax) return tl::unexpected(HttpFault::too_long);
  if (!end) return std::nullopt;
  auto request = parse_head(std::string_view(buffer_).substr(0, *end));
  buffer_.erase(0, *end);
  looked_at_ = 0;
  if (buffer_.empty()) std::string().swap(buffer_);
  if (!request) return tl::unexpected(request.error());
  return std::move(*request);
}

}  // namespace sink::admin_server

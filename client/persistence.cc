#include "client/persistence.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "client/session_record.h"

namespace sink::client {
namespace {

constexpr size_t kFileBytesMax = 64 * 1024;
constexpr std::string_view kClientField = "client_instance_id = ";
constexpr std::string_view kServerField = "server_instance_id = ";
constexpr std::string_view kMoreField = "server ";

tl::unexpected<std::string> system_error(const std::string& deed, const std::string& path) {
  return tl::unexpected("cannot " + deed + " " + path + ": " + std::strerror(errno));
}

tl::unexpected<std::string> damaged(const std::string& path, const std::string& what) {
  return tl::unexpected(
      path + " does not hold instance ids (" + what +
      "); restore it, or remove it and have the server's operator adopt this client");
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::optional<uint32_t> parse_id(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The value behind "field" on the line at the front of `text`, which is removed.
std::optional<uint32_t> take_line(std::string_view& text, std::string_view field) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || text.substr(0, field.size()) != field) return std::nullopt;
  const auto id = parse_id(text.substr(field.size(), end - field.size()));
  text.remove_prefix(end + 1);
  return id;
}

// "server KEY = ID".
bool take_server(std::string_view& text, std::map<std::string, uint32_t>& servers) {
  const std::string_view line = text.substr(0, text.find('\n'));
  const size_t equals = line.rfind(" = ");
  if (line.size() == text.size() || !line.starts_with(kMoreField) ||
      equals == std::string_view::npos || equals <= kMoreField.size())
    return false;
  const auto id = parse_id(line.substr(equals + 3));
  if (!id) return false;
  servers.emplace(line.substr(kMoreField.size(), equals - kMoreField.size()), *id);
  text.remove_prefix(line.size() + 1);
  return true;
}

std::string to_text(const Identity& identity) {
  std::string text;
  text.append(kClientField).append(std::to_string(identity.client_instance_id)).append("\n");
  if (identity.server_instance_id)
    text.append(kServerField).append(std::to_string(*identity.server_instance_id)).append("\n");
  for (const auto& [key, id] : identity.more_servers)
    text.append(kMoreField).append(key).append(" = ").append(std::to_string(id)).append("\n");
  return text;
}

// `where` is what the text was read from.
tl::expected<Identity, std::string> from_text(std::string_view text, const std::string& where) {
  const auto client = take_line(text, kClientField);
  if (!client) return damaged(where, "no client_instance_id in its first line");
  Identity identity{*client, std::nullopt};
  if (text.empty()) return identity;
  if (!text.starts_with(kMoreField)) {
    identity.server_instance_id = take_line(text, kServerField);
    if (!identity.server_instance_id)
      return damaged(where, "its second line is not a server_instance_id");
  }
  while (!text.empty())
    if (!take_server(text, identity.more_servers))
      return damaged(where, "one of its lines names no server");
  return identity;
}

// nullopt: there is no such file.
tl::expected<std::optional<std::string>, std::string> read_file(const std::string& path,
                                                                size_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) {
    if (errno == ENOENT) return std::nullopt;
    return system_error("open", path);
  }
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("read", path);
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() >= bytes_max)
      return tl::unexpected(path + " is too long to be what this library has written there");
  }
}

}  // namespace

tl::expected<void, std::string> replace_file(const std::string& path, std::string_view contents) {
  const std::string fresh = path + ".new";
  {
    const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.open()) return system_error("create", fresh);
    if (!write_all(file.get(), contents)) return system_error("write", fresh);
    if (::fsync(file.get()) != 0) return system_error("sync", fresh);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return system_error("replace", path);
  const std::string directory = directory_of(path);
  const Descriptor folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.open()) return system_error("open directory", directory);
  if (::fsync(folder.get()) != 0) return system_error("sync directory", directory);
  return {};
}

tl::expected<std::optional<Identity>, std::string> FilePersistence::load() {
  const auto text = read_file(path_, kFileBytesMax);
  if (!text) return tl::unexpected(text.error());
  if (!*text) return std::nullopt;
  const auto identity = from_text(**text, path_);
  if (!identity) return tl::unexpected(identity.error());
  return *identity;
}

tl::expected<void, std::string> FilePersistence::save(const Identity& identity) {
  return replace_file(path_, to_text(identity));
}

tl::expected<std::optional<std::string>, std::string> FilePersistence::load_session() {
  return read_file(session_path(), kSessionRecordBytesMax);
}

tl::expected<void, std::string> FilePersistence::save_session(std::string_view record) {
  return replace_file(session_path(), record);
}

tl::expected<std::optional<Identity>, std::string> KeyValuePersistence::load() {
  const auto value = store_.get(key_);
  if (!value) return tl::unexpected(value.error());
  if (!*value) return std::nullopt;
  const auto identity = from_text(**value, "the value of " + key_);
  if (!identity) return tl::unexpected(identity.error());
  return *identity;
}

tl::expected<void, std::string> KeyValuePersistence::save(const Identity& identity) {
  return store_.put(key_, to_text(identity));
}

tl::expected<std::optional<std::string>, std::string> KeyValuePersistence::load_session() {
  return store_.get(session_key_);
}

tl::expected<void, std::string> KeyValuePersistence::save_session(std::string_view record) {
  return store_.put(session_key_, record);
}

tl::expected<std::optional<Identity>, std::string> MemoryPersistence::load() {
  const std::lock_guard lock(mutex_);
  return identity_;
}

tl::expected<void, std::string> MemoryPersistence::save(const Identity& identity) {
  const std::lock_guard lock(mutex_);
  identity_ = identity;
  return {};
}

}  // namespace sink::client

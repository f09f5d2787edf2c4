// Where a client keeps its instance ids between runs, and apart from them the session of version 1
// and the last server. Losing the ids is being wiped: the server answers "instance id mismatch"
// until its operator adopts the client. Losing the rest costs only that things are sent twice.
// Invariant: whatever a save reported as done is what the load answers after a crash at any later
// moment.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "client/identity.h"

namespace sink::client {

// A Connection calls these on a thread of libuv's pool, never two at once for one connection. The
// error is one sentence with what was wrong, where, and what to do.
class Persistence {
 public:
  virtual ~Persistence() = default;
  // What was saved last; nullopt if nothing ever was.
  [[nodiscard]] virtual tl::expected<std::optional<Identity>, std::string> load() = 0;
  // Returns once the ids would survive a power cut.
  [[nodiscard]] virtual tl::expected<void, std::string> save(const Identity& identity) = 0;

  // The session and the last server, as one text (session_record.h): a store that does not keep it
  // leaves these three alone. It is small, but for one line for each event in flight.
  virtual bool keeps_session() const { return false; }
  [[nodiscard]] virtual tl::expected<std::optional<std::string>, std::string> load_session() {
    return std::nullopt;
  }
  [[nodiscard]] virtual tl::expected<void, std::string> save_session(std::string_view) {
    return {};
  }
};

// Two small text files, replaced by rename after fsync: the ids at `path`, the session and the last
// server at `path`.session. A damaged file of ids is an error, never a new identity.
class FilePersistence final : public Persistence {
 public:
  // The directory must exist; the files need not.
  explicit FilePersistence(std::string path) : path_(std::move(path)) {}
  tl::expected<std::optional<Identity>, std::string> load() override;
  tl::expected<void, std::string> save(const Identity& identity) override;
  bool keeps_session() const override { return true; }
  tl::expected<std::optional<std::string>, std::string> load_session() override;
  tl::expected<void, std::string> save_session(std::string_view record) override;

 private:
  std::string session_path() const { return path_ + ".session"; }

  std::string path_;
};

// In the user's own store: a key-value store, flash, a database. The ids are one value under one
// key, so that they are never told apart; the texts are those of FilePersistence. The session and
// the last server are kept only where they are given a key: the store must tell keys apart.
class KeyValuePersistence final : public Persistence {
 public:
  // Both are called on a thread of libuv's pool. put() returns once the value would survive a power
  // cut, and a crash within it leaves the old value or the new one.
  struct Store {
    std::function<tl::expected<std::optional<std::string>, std::string>(const std::string& key)>
        get;  // nullopt: there is no such key
    std::function<tl::expected<void, std::string>(const std::string& key, std::string_view value)>
        put;
  };
  explicit KeyValuePersistence(Store store, std::string key = "sink.identity",
                               std::string session_key = "")
      : store_(std::move(store)), key_(std::move(key)), session_key_(std::move(session_key)) {}
  tl::expected<std::optional<Identity>, std::string> load() override;
  tl::expected<void, std::string> save(const Identity& identity) override;
  bool keeps_session() const override { return !session_key_.empty(); }
  tl::expected<std::optional<std::string>, std::string> load_session() override;
  tl::expected<void, std::string> save_session(std::string_view record) override;

 private:
  Store store_;
  std::string key_;
  std::string session_key_;
};

// Forgotten with the process: for tests, and for servers that name clients by their instance id.
class MemoryPersistence final : public Persistence {
 public:
  MemoryPersistence() = default;
  explicit MemoryPersistence(const Identity& identity) : identity_(identity) {}
  tl::expected<std::optional<Identity>, std::string> load() override;
  tl::expected<void, std::string> save(const Identity& identity) override;

 private:
  std::mutex mutex_;
  std::optional<Identity> identity_;
};

// Replaces `path` by a file with these contents so that a crash leaves the old or the new one:
// written beside it, fsynced, renamed, the directory fsynced. Mode 0600.
[[nodiscard]] tl::expected<void, std::string> replace_file(const std::string& path,
                                                           std::string_view contents);

}  // namespace sink::client

// Where sinkd's log lines go: standard error, as text (RFC 3339, UTC), as JSON Lines, or with the
// priority prefixes that journald reads. Repeated warnings are held back and counted.
// Not responsible for what is worth a line.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "daemon/broker/core.h"
#include "daemon/config/config.h"

namespace sink::daemon {

class Logging {
 public:
  explicit Logging(const config::Log& settings);
  void set_level(config::LogLevel level);

  // One line. Lines of one `event` name above debug are limited to kBurst in kWindowMs; when the
  // window ends, one line says how many were held back.
  void write(const broker::Notice& notice, uint64_t now_ms);
  void write(broker::Severity severity, const std::string& event, const std::string& text,
             uint64_t now_ms);
  // Says what was held back, for windows that have ended.
  void flush_suppressed(uint64_t now_ms);

 private:
  static constexpr uint64_t kWindowMs = 10'000;
  static constexpr uint32_t kBurst = 50;
  struct Window {
    uint64_t started_ms = 0;
    uint32_t written = 0;
    uint64_t suppressed = 0;
    broker::Severity severity = broker::Severity::info;
  };
  enum class Format : uint8_t { text, json, journal };

  void emit(broker::Severity severity, const std::string& event, const std::string& client_id,
            const std::string& text) const;
  bool wanted(broker::Severity severity) const;

  Format format_;
  config::LogLevel level_;
  std::map<std::string, Window> windows_;  // by event name: a fixed set
};

}  // namespace sink::daemon

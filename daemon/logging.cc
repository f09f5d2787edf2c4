#include "daemon/logging.h"

#include <fmt/chrono.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace sink::daemon {
namespace {

using broker::Severity;

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::debug: return "debug";
    case Severity::info: return "info";
    case Severity::notice: return "notice";
    case Severity::warning: return "warning";
    case Severity::error: return "error";
  }
  return "error";
}

// syslog(3) priorities, as journald reads them at the start of a line (sd-daemon(3)).
int priority_of(Severity severity) {
  switch (severity) {
    case Severity::debug: return 7;
    case Severity::info: return 6;
    case Severity::notice: return 5;
    case Severity::warning: return 4;
    case Severity::error: return 3;
  }
  return 3;
}

// Control bytes never reach a terminal or a log file.
std::string clean(const std::string& text) {
  std::string out = text;
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

}  // namespace

Logging::Logging(const config::Log& settings) : level_(settings.level) {
  const bool under_journal = std::getenv("JOURNAL_STREAM") != nullptr;
  switch (settings.format) {
    case config::LogFormat::automatic:
      format_ = under_journal ? Format::journal : Format::text;
      break;
    case config::LogFormat::journal: format_ = Format::journal; break;
    case config::LogFormat::text: format_ = Format::text; break;
    case config::LogFormat::json: format_ = Format::json; break;
  }
  auto logger = std::make_shared<spdlog::logger>(
      "sinkd", std::make_shared<spdlog::sinks::stderr_sink_st>());
  const char* stamp = "%Y-%m-%dT%H:%M:%S.%eZ %v";
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      format_ == Format::text ? stamp : "%v", spdlog::pattern_time_type::utc));
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(logger);
}

void Logging::set_level(config::LogLevel level) { level_ = level; }

bool Logging::wanted(Severity severity) const {
  switch (level_) {
    case config::LogLevel::trace:
    case config::LogLevel::debug: return true;
    case config::LogLevel::info: return severity >= Severity::info;
    case config::LogLevel::warning: return severity >= Severity::warning;
    case config::LogLevel::error: return severity >= Severity::error;
  }
  return true;
}

void Logging::write(const broker::Notice& notice, uint64_t now_ms) {
  if (!wanted(notice.severity)) return;
  Window& window = windows_[notice.event];
  if (now_ms >= window.started_ms + kWindowMs) {
    flush_suppressed(now_ms);
    window = {now_ms, 0, 0, notice.severity};
  }
  if (window.written >= kBurst) {
    ++window.suppressed;
    return;
  }
  ++window.written;
  emit(notice.severity, notice.event, notice.client_id, notice.text);
}

void Logging::write(Severity severity, const std::string& event, const std::string& text,
                    uint64_t now_ms) {
  write({severity, event, {}, text}, now_ms);
}

void Logging::flush_suppressed(uint64_t now_ms) {
  for (auto& [event, window] : windows_) {
    if (window.suppressed == 0 || now_ms < window.started_ms + kWindowMs) continue;
    emit(window.severity, event, {},
         std::to_string(window.suppressed) + " more lines like this were held back");
    window.suppressed = 0;
  }
}

void Logging::emit(Severity severity, const std::string& event, const std::string& client_id,
                   const std::string& text) const {
  std::string line;
  switch (format_) {
    case Format::text:
    case Format::journal:
      line = format_ == Format::journal ? "<" + std::to_string(priority_of(severity)) + ">"
                                        : std::string(name_of(severity)) + " ";
      line += event + ": " + clean(client_id.empty() ? text : client_id + ": " + text);
      break;
    case Format::json: {
      nlohmann::json object = {{"severity", name_of(severity)}, {"event", event}, {"text", text}};
      object["time"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                                   fmt::gmtime(std::time(nullptr)));
      if (!client_id.empty()) object["client_id"] = client_id;
      line = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
      break;
    }
  }
  spdlog::info("{}", line);
}

}  // namespace sink::daemon

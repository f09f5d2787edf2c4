#include "daemon/daemon.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "daemon/config/check_files.h"
#include "daemon/config/parse.h"
#include "daemon/config/render.h"
#include "daemon/descriptors.h"
#include "daemon/settings.h"

namespace sink::daemon {
namespace {

using broker::Severity;
using BindFault = admin_server::BindError::Fault;

constexpr uint64_t kMinuteMs = 60'000;
constexpr uint64_t kDrainMs = 10'000;
constexpr uint64_t kStuckMs = 10'000;  // a commit this long means that the disk hangs
constexpr uint64_t kRecoveryAllowanceMs = 600'000;

uint64_t wall_ms() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

// Fills from the kernel; the daemon does not start without it.
bool random_bytes(void* out, size_t size) {
  ssize_t got = 0;
  do {
    got = ::getrandom(out, size, 0);  // so few bytes come whole, or not at all
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(size);
}

ExitStatus status_of(storage::OpenFault fault) {
  switch (fault) {
    case storage::OpenFault::unreadable: return ExitStatus::store_not_readable;
    case storage::OpenFault::locked: return ExitStatus::store_locked;
    case storage::OpenFault::failed:
    case storage::OpenFault::no_space: return ExitStatus::storage_failed;
  }
  return ExitStatus::storage_failed;
}

ExitStatus status_of(net::ListenFault fault) {
  switch (fault) {
    case net::ListenFault::address_in_use: return ExitStatus::address_in_use;
    case net::ListenFault::no_resources: return ExitStatus::out_of_resources;
    case net::ListenFault::bad_certificate:
    case net::ListenFault::failed: return ExitStatus::configuration;
  }
  return ExitStatus::configuration;
}

ExitStatus status_of(BindFault fault) {
  switch (fault) {
    case BindFault::in_use: return ExitStatus::address_in_use;
    case BindFault::no_resources: return ExitStatus::out_of_resources;
    case BindFault::invalid:
    case BindFault::failed: return ExitStatus::configuration;
  }
  return ExitStatus::configuration;
}

}  // namespace

Daemon::Daemon(std::string config_file, config::Config config, Logging& logging)
    : config_file_(std::move(config_file)), config_(std::move(config)), logging_(logging) {
  loop_open_ = uv_loop_init(&loop_) == 0;
}

Daemon::~Daemon() {
  if (!loop_open_) return;
  // What holds handles closes them, the loop runs their callbacks, then memory goes.
  if (doors_) doors_->close();
  if (outbound_) outbound_->close();
  if (caller_) caller_->close();
  if (server_) server_->close();
  if (disk_threads_) disk_threads_->stop();
  for (uv_handle_t* handle : open_handles_) uv_close(handle, nullptr);
  uv_run(&loop_, UV_RUN_DEFAULT);
  doors_.reset();
  outbound_.reset();
  caller_.reset();
  broker_.reset();
  server_.reset();
  disk_threads_.reset();
  event_log_.reset();
  uv_loop_close(&loop_);
}

void Daemon::log(Severity severity, const std::string& event, const std::string& text) {
  logging_.write(severity, event, text, now_ms());
}

ExitStatus Daemon::out_of_resources(const char* what) {
  log(Severity::error, "out_of_resources",
      std::string("the system has no descriptors, threads or memory for ") + what);
  return ExitStatus::out_of_resources;
}

// ---- start -----------------------------------------------------------------------------------

ExitStatus Daemon::open() {
  if (!loop_open_) return out_of_resources("the event loop");
  started_ms_ = now_ms();
  std::signal(SIGPIPE, SIG_IGN);
  descriptors_ = raise_descriptor_limit();
  service_manager_.extend_timeout(kRecoveryAllowanceMs);
  service_manager_.status("recovering the store");
  if (const ExitStatus status = open_store(); status != ExitStatus::stopped_in_order) return status;
  if (const ExitStatus status = open_edges(); status != ExitStatus::stopped_in_order) return status;
  if (const ExitStatus status = start_signals(); status != ExitStatus::stopped_in_order)
    return status;
  phase_ = Phase::running;
  std::string where;
  for (const auto& listener : server_->listeners())
    where += (where.empty() ? "" : ", ") + listener->bound_address();
  log(Severity::notice, "ready",
      config_.server.name + " (instance " +
          std::to_string(event_log_->identity().server_instance_id) + ") listens on " +
          (where.empty() ? "nothing: there is no [[listener]]" : where));
  service_manager_.ready("listening on " + where);
  return ExitStatus::stopped_in_order;
}

ExitStatus Daemon::open_store() {
  auto disk = storage::PosixDisk::open_directory(config_.server.data_dir, true);
  if (!disk) {
    log(Severity::error, "store_failed",
        "cannot open [server] data_dir " + config_.server.data_dir + ": " +
            std::strerror(disk.error().system_errno));
    return ExitStatus::storage_failed;
  }
  disk_ = std::move(*disk);
  storage::StoreIdentity fresh;
  if (!random_bytes(fresh.id.bytes.data(), fresh.id.bytes.size()) ||
      !random_bytes(&fresh.server_instance_id, sizeof fresh.server_instance_id)) {
    log(Severity::error, "store_failed", "the kernel gives no random numbers");
    return ExitStatus::storage_failed;
  }
  fresh.server_instance_id = config_.server.instance_id.value_or(fresh.server_instance_id);
  fresh.created_ms = wall_ms();
  broker::State state;
  broker::Fold fold(state);
  auto store =
      storage::open_store(*disk_, fresh, log_options(config_), fold, {now_ms(), wall_ms()});
  if (!store) {
    log(Severity::error, "store_failed", config_.server.data_dir + ": " + store.error().message);
    return status_of(store.error().fault);
  }
  const uint32_t instance = store->log->identity().server_instance_id;
  if (config_.server.instance_id && *config_.server.instance_id != instance) {
    log(Severity::error, "configuration",
        "[server] instance_id is " + std::to_string(*config_.server.instance_id) +
            " but the store belongs to instance " + std::to_string(instance) +
            ": remove the key, or name another data_dir");
    return ExitStatus::configuration;
  }
  report_recovery(*store);
  if (fold.strange() > 0)
    log(Severity::warning, "recovery",
        std::to_string(fold.strange()) + " records of the log could not be understood");
  event_log_ = std::move(store->log);
  disk_threads_ = std::make_unique<net::DiskThreads>(&loop_, *disk_);
  if (!disk_threads_->start()) return out_of_resources("the disk threads");
  server_ = std::make_unique<net::Server>(&loop_);
  uint64_t seed = 0;
  random_bytes(&seed, sizeof seed);
  broker_ = std::make_unique<broker::Broker>(*event_log_, std::move(state), *server_,
                                             *disk_threads_, broker_settings(config_), seed);
  server_->set_broker(broker_.get());
  outbound_ = std::make_unique<uplink::Outbound>(&loop_);
  outbound_->set_broker(broker_.get());
  outbound_->enter = [this] { server_->read_clock(); };
  server_->set_outbound(outbound_.get());
  caller_ = std::make_unique<uplink::Caller>(&loop_);
  caller_->set_broker(broker_.get());
  caller_->enter = [this] { server_->read_clock(); };
  caller_->wake = [this] { server_->wake(); };
  caller_->on_connected = [this](const broker::DialSpec& dial, int socket) {
    server_->take_call(dial, socket);
  };
  server_->set_caller(caller_.get());
  broker_->set_observer([this](const broker::Notice& notice) { logging_.write(notice, now_ms()); });
  return ExitStatus::stopped_in_order;
}

void Daemon::report_recovery(const storage::OpenStore& store) {
  if (store.created) {
    log(Severity::notice, "store_created", "a new store in " + config_.server.data_dir);
    return;
  }
  const auto& report = store.report;
  log(Severity::info, "recovered",
      std::to_string(report.batches) + " batches with " + std::to_string(report.events) +
          " events behind the last snapshot, next position " +
          std::to_string(store.log->next_position()));
  for (const std::string& note : report.notes) log(Severity::warning, "recovery", note);
}

ExitStatus Daemon::open_edges() {
  uv_update_time(&loop_);
  for (const std::string& change :
       broker_->start(config_.subscriptions, {now_ms(), wall_ms()}))
    log(Severity::info, "subscriptions", change);
  apply_limits(config_);
  server_->on_refused = [this](const std::string& address, const std::string& reason) {
    log(Severity::warning, "connection_refused", address + ": " + reason);
  };
  server_->on_round = [this] { on_round(); };
  disk_threads_->before_finish = [this] { server_->read_clock(); };
  auto listening = server_->listen(config_.listeners,
                                   service_manager_.inherited_sockets(config_.listeners));
  if (!listening) {
    log(Severity::error, "listener_failed", listening.error().message);
    return status_of(listening.error().fault);
  }
  if (const ExitStatus status = open_uplinks(); status != ExitStatus::stopped_in_order)
    return status;
  if (const ExitStatus status = open_doors(); status != ExitStatus::stopped_in_order) return status;
  server_->start();
  return ExitStatus::stopped_in_order;
}

ExitStatus Daemon::open_uplinks() {
  auto contexts = uplink::Outbound::load(config_.uplinks, wall_ms());
  if (!contexts) {
    log(Severity::error, "uplink_failed", contexts.error());
    return ExitStatus::configuration;
  }
  outbound_->use(std::move(*contexts));
  for (const std::string& change : broker_->set_uplinks(uplink_specs(config_), outbound_.get()))
    log(Severity::info, "uplinks", change);
  apply_dials(config_);
  return ExitStatus::stopped_in_order;
}

void Daemon::apply_dials(const config::Config& config) {
  for (const std::string& change : broker_->set_dials(config.dials, caller_.get()))
    log(Severity::info, "dials", change);
}

ExitStatus Daemon::open_doors() {
  doors_ = std::make_unique<OperatorDoors>(&loop_, *broker_, *this);
  auto opened = doors_->open(config_);
  if (opened) return ExitStatus::stopped_in_order;
  log(Severity::error, "listener_failed", opened.error().message);
  return status_of(opened.error().fault);
}

// Connections never take the descriptors that the log and the operators need.
void Daemon::apply_limits(const config::Config& config) {
  const net::ServerLimits limits = server_limits(config, descriptors_);
  server_->set_limits(limits);
  if (limits.connections == config.limits.connections) return;
  log(Severity::warning, "limits",
      "[limits] connections is " + std::to_string(config.limits.connections) +
          ", but the process may open " + std::to_string(descriptors_) + " descriptors: " +
          std::to_string(limits.connections) + " connections are let in; raise LimitNOFILE");
}

bool Daemon::start_signal(uv_signal_t& handle, int number) {
  if (uv_signal_init(&loop_, &handle) != 0) return false;
  open_handles_.push_back(reinterpret_cast<uv_handle_t*>(&handle));
  handle.data = this;
  return uv_signal_start(&handle, on_signal, number) == 0;
}

void Daemon::start_timer(uv_timer_t& handle) {
  uv_timer_init(&loop_, &handle);
  open_handles_.push_back(reinterpret_cast<uv_handle_t*>(&handle));
  handle.data = this;
}

ExitStatus Daemon::start_signals() {
  if (!start_signal(terminate_, SIGTERM) || !start_signal(interrupt_, SIGINT) ||
      !start_signal(hang_up_, SIGHUP))
    return out_of_resources("the signal handlers");
  for (uv_timer_t* timer : {&minute_, &watchdog_, &drain_timer_}) start_timer(*timer);
  uv_timer_start(&minute_, on_minute, kMinuteMs, kMinuteMs);
  if (const uint64_t interval = service_manager_.watchdog_ms())
    uv_timer_start(&watchdog_, on_watchdog, interval, interval);
  return ExitStatus::stopped_in_order;
}

// ---- running ---------------------------------------------------------------------------------

ExitStatus Daemon::run() {
  uv_run(&loop_, UV_RUN_DEFAULT);
  return status_;
}

void Daemon::on_signal(uv_signal_t* handle, int number) {
  auto* self = static_cast<Daemon*>(handle->data);
  if (number != SIGHUP) return self->begin_drain(number == SIGTERM ? "SIGTERM" : "SIGINT");
  self->service_manager_.reloading();
  const auto result = self->reload();
  self->log(result.outcome == admin::Outcome::ok ? Severity::notice : Severity::error, "reload",
            result.message);
  for (const auto& row : result.rows)
    if (row.note == "error")
      self->log(Severity::error, "configuration",
                row.file + ":" + std::to_string(row.line) + ": " + row.key + ": " + row.value);
  self->service_manager_.ready("running");
}

void Daemon::on_minute(uv_timer_t* handle) {
  auto* self = static_cast<Daemon*>(handle->data);
  self->server_->close_invalid_certificates();
  self->logging_.flush_suppressed(self->now_ms());
}

// The loop is alive, or it would not be here; a commit that has been running for longer than the
// watchdog allows means a disk that hangs: then the service manager shall know.
void Daemon::on_watchdog(uv_timer_t* handle) {
  auto* self = static_cast<Daemon*>(handle->data);
  if (self->disk_threads_->commit_running_ms() < self->service_manager_.watchdog_ms())
    self->service_manager_.watchdog();
}

void Daemon::on_round() {
  const uint64_t real_ms = uv_hrtime() / 1'000'000;
  loop_lag_ms_ = real_ms > now_ms() ? real_ms - now_ms() : 0;
  if (event_log_->failed()) {
    log(Severity::error, "storage_failed",
        event_log_->failure() + "; nothing more is acknowledged, the next start recovers what is "
                                "on the disk");
    return finish(ExitStatus::storage_failed);
  }
  doors_->on_round();
  if (phase_ == Phase::draining) advance_drain();
}

// ---- stopping --------------------------------------------------------------------------------

void Daemon::begin_drain(const char* why) {
  if (phase_ != Phase::running) return;
  phase_ = Phase::draining;
  log(Severity::notice, "stopping", std::string(why) + ": draining");
  service_manager_.stopping();
  server_->stop_listening();
  broker_->drain();
  uv_timer_start(&drain_timer_, on_drain_deadline, kDrainMs, 0);
  server_->wake();
}

void Daemon::on_drain_deadline(uv_timer_t* handle) {
  auto* self = static_cast<Daemon*>(handle->data);
  self->log(Severity::warning, "stopping", "not everything was drained in time; the log keeps it");
  self->finish(ExitStatus::stopped_in_order);
}

// What was accepted is committed and acknowledged; then everyone is sent away; then a snapshot
// makes the next start short.
void Daemon::advance_drain() {
  if (!broker_->drained()) return;
  if (!connections_closed_) {
    connections_closed_ = true;
    broker_->close_all(broker::CloseReason::draining);
    return server_->wake();
  }
  if (server_->connections() + outbound_->connections() > 0) return;
  if (!snapshot_requested_) {
    snapshot_requested_ = true;
    event_log_->request_snapshot();
    return server_->wake();
  }
  if (event_log_->snapshot_pending() || !disk_threads_->idle()) return;
  log(Severity::notice, "stopped", "in order");
  finish(ExitStatus::stopped_in_order);
}

void Daemon::finish(ExitStatus status) {
  if (phase_ == Phase::stopped) return;
  phase_ = Phase::stopped;
  status_ = status;
  uv_stop(&loop_);
}

// ---- what operators ask of the host ----------------------------------------------------------

std::vector<admin::ConfigRow> Daemon::configuration() { return config::render(config_); }

// All or nothing: on any error the old configuration stays.
admin_server::Reloaded Daemon::reload() {
  admin_server::Reloaded result;
  result.outcome = admin::Outcome::invalid;
  auto parsed = config::parse_files(config_file_);
  config::ConfigErrors errors = parsed ? config::check_files(*parsed) : parsed.error();
  for (const config::ConfigError& error : errors)
    result.rows.push_back(
        {error.key, error.message + (error.hint.empty() ? "" : " (" + error.hint + ")"), "error",
         error.file, error.line, error.column});
  uplink::Outbound::Contexts contexts;
  if (errors.empty()) {
    if (auto loaded = server_->check(parsed->listeners); !loaded)
      result.rows.push_back({"listener", loaded.error().message, "error", config_file_, 0, 0});
    if (auto loaded = uplink::Outbound::load(parsed->uplinks, wall_ms()); loaded) {
      contexts = std::move(*loaded);
    } else {
      result.rows.push_back({"uplink", loaded.error(), "error", config_file_, 0, 0});
    }
  }
  if (!result.rows.empty()) {
    result.hint = "mend them and reload again; sinkd --check shows the same list";
    result.message = "the configuration has " + std::to_string(result.rows.size()) +
                     " error(s); the old one stays in force";
    return result;
  }
  if (auto loaded = server_->reload(parsed->listeners); !loaded) {
    result.rows.push_back({"listener", loaded.error().message, "error", config_file_, 0, 0});
    result.message =
        "a certificate changed while it was read; the old configuration stays in force";
    return result;
  }
  result.rows = config::diff(config_, *parsed);
  server_->read_clock();
  apply_limits(*parsed);
  logging_.set_level(parsed->log.level);
  storage::LogOptions options = log_options(config_);
  options.bytes_max = parsed->store.max_size_bytes;
  options.retain_ms = parsed->store.retain_ms;
  options.commit_buffer_bytes = parsed->limits.commit_buffer_bytes;
  event_log_->set_options(options);
  for (const std::string& change :
       broker_->reconfigure(broker_settings(*parsed), parsed->subscriptions))
    log(Severity::info, "subscriptions", change);
  outbound_->use(std::move(contexts));
  for (const std::string& change : broker_->set_uplinks(uplink_specs(*parsed), outbound_.get()))
    log(Severity::info, "uplinks", change);
  apply_dials(*parsed);
  config_ = std::move(*parsed);
  result.outcome = admin::Outcome::ok;
  result.message = "configuration and certificates read again; " +
                   std::to_string(result.rows.size()) + " key(s) changed";
  server_->wake();
  return result;
}

std::vector<admin::CertificateRow> Daemon::certificates() {
  std::vector<admin::CertificateRow> rows;
  for (const auto& listener : server_->listeners()) {
    if (!listener->context()) continue;
    for (const tls::CertificateInfo& info : listener->context()->certificates())
      rows.push_back({listener->settings().address, info.file, info.role, info.subject, info.issuer,
                      info.serial, info.not_before_ms, info.not_after_ms});
  }
  for (const auto& [name, context] : outbound_->contexts())
    for (const tls::CertificateInfo& info : context->certificates())
      rows.push_back({broker::client_id_of_uplink(name), info.file, info.role, info.subject,
                      info.issuer, info.serial, info.not_before_ms, info.not_after_ms});
  return rows;
}

void Daemon::audit(const admin_server::AuditEntry& entry) {
  log(Severity::notice, "operator",
      "uid " + std::to_string(entry.caller.uid) + ", pid " + std::to_string(entry.caller.pid) +
          ": " + std::string(admin_server::name_of(entry.verb)) + " on " + entry.target +
          ": " + entry.message);
}

admin_server::HostFacts Daemon::facts() {
  using Metric = admin_server::HostMetric;
  admin_server::HostFacts facts;
  facts.version = SINKD_VERSION;
  facts.uptime_ms = now_ms() - started_ms_;
  facts.recovered = phase_ != Phase::starting;
  facts.listening = phase_ == Phase::running;
  facts.connections_unauthenticated = server_->unproven();
  facts.loop_lag_seconds = static_cast<double>(loop_lag_ms_) / 1'000;
  if (const uint64_t running = disk_threads_->commit_running_ms(); running > kStuckMs)
    facts.stuck = "a commit has been waiting for the disk for " + std::to_string(running) + " ms";
  if (auto free = disk_->free_bytes()) facts.disk_free_bytes = *free;
  const net::NetCounters& net = server_->counters();
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    facts.metrics.push_back({name, help, Metric::Kind::counter, static_cast<double>(value)});
  };
  counter("sockets_accepted_total", "Sockets accepted by the listeners", net.accepted);
  counter("sockets_refused_total", "Sockets refused because a limit was reached", net.refused_full);
  counter("sockets_not_authenticated_total",
          "Sockets closed for their TLS handshake, certificate or identity", net.refused_tls);
  counter("sockets_timed_out_total", "Sockets without a handshake or request in time",
          net.timed_out);
  counter("accept_errors_total", "Failed accepts, for want of descriptors or memory",
          net.accept_errors);
  counter("sent_bytes_total", "Bytes sent to peers", net.bytes_sent);
  counter("loop_rounds_total", "Rounds of the event loop", net.loop_rounds);
  return facts;
}

}  // namespace sink::daemon

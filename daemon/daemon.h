// One running sinkd: store, engine, network edge, operators' doors, signals, put together and taken
// apart in order. Not responsible for parsing the command line (main.cc). Lives on one loop.
//
//   open() -> run() -> [SIGHUP: reload]* -> SIGTERM: draining -> snapshot -> closing -> run()
//   returns
#pragma once

#include <uv.h>

#include <memory>
#include <string>

#include "daemon/admin/host.h"
#include "daemon/broker/broker.h"
#include "daemon/config/config.h"
#include "daemon/exit_status.h"
#include "daemon/logging.h"
#include "daemon/net/disk_threads.h"
#include "daemon/net/server.h"
#include "daemon/operator_doors.h"
#include "daemon/service_manager.h"
#include "daemon/uplink/outbound.h"
#include "storage/posix_disk.h"
#include "storage/store.h"

namespace sink::daemon {

class Daemon final : public admin_server::Host {
 public:
  Daemon(std::string config_file, config::Config config, Logging& logging);
  ~Daemon() override;

  // Everything up to "ready". On failure the reason has been logged.
  [[nodiscard]] ExitStatus open();
  // Runs until stopped; returns how it ended.
  [[nodiscard]] ExitStatus run();

  // admin_server::Host
  void enter() override { server_->read_clock(); }
  void leave() override { server_->wake(); }
  admin_server::HostFacts facts() override;
  std::vector<admin::ConfigRow> configuration() override;
  admin_server::Reloaded reload() override;
  std::vector<admin::CertificateRow> certificates() override;
  void audit(const admin_server::AuditEntry& entry) override;

 private:
  enum class Phase : uint8_t { starting, running, draining, closing, stopped };

  ExitStatus open_store();
  ExitStatus open_edges();
  ExitStatus open_doors();
  ExitStatus open_uplinks();
  void apply_dials(const config::Config& config);
  void apply_limits(const config::Config& config);
  ExitStatus start_signals();
  bool start_signal(uv_signal_t& handle, int number);
  void start_timer(uv_timer_t& handle);
  void on_round();
  void advance_drain();
  void begin_drain(const char* why);
  void finish(ExitStatus status);
  void report_recovery(const storage::OpenStore& store);
  ExitStatus out_of_resources(const char* what);
  void log(broker::Severity severity, const std::string& event, const std::string& text);
  uint64_t now_ms() const { return uv_now(&loop_); }
  static void on_signal(uv_signal_t* handle, int number);
  static void on_minute(uv_timer_t* handle);
  static void on_watchdog(uv_timer_t* handle);
  static void on_drain_deadline(uv_timer_t* handle);

  std::string config_file_;
  config::Config config_;
  Logging& logging_;
  ServiceManager service_manager_;
  mutable uv_loop_t loop_{};
  bool loop_open_ = false;
  Phase phase_ = Phase::starting;
  ExitStatus status_ = ExitStatus::stopped_in_order;
  uint64_t started_ms_ = 0;
  uint64_t loop_lag_ms_ = 0;
  uint64_t descriptors_ = 0;  // how many the process may open
  bool connections_closed_ = false;
  bool snapshot_requested_ = false;

  std::unique_ptr<storage::PosixDisk> disk_;
  std::unique_ptr<storage::EventLog> event_log_;
  std::unique_ptr<net::DiskThreads> disk_threads_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<uplink::Outbound> outbound_;
  std::unique_ptr<uplink::Caller> caller_;
  std::unique_ptr<broker::Broker> broker_;
  std::unique_ptr<OperatorDoors> doors_;
  uv_signal_t terminate_;
  uv_signal_t interrupt_;
  uv_signal_t hang_up_;
  uv_timer_t minute_;
  uv_timer_t watchdog_;
  uv_timer_t drain_timer_;
  std::vector<uv_handle_t*> open_handles_;  // of the six above
};

}  // namespace sink::daemon

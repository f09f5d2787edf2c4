// A broker in memory for the tests of daemon/admin: simulated disk, disk tasks run when run() comes
// round, peers that speak frames, a host that notes what it was told.
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "daemon/admin/commands.h"
#include "daemon/broker/broker.h"
#include "protocol/frame.h"
#include "protocol/frame_splitter.h"
#include "storage/simulated_disk.h"
#include "storage/store.h"

namespace sink::admin_server::fixture {

class QuietTransport final : public broker::Transport {
 public:
  std::vector<std::pair<broker::ConnectionId, broker::CloseReason>> closed;
  void output_ready(broker::ConnectionId) override {}
  void close(broker::ConnectionId id, broker::CloseReason reason) override {
    closed.emplace_back(id, reason);
  }
  void resume_input(broker::ConnectionId) override {}
};

class QueuedLanes final : public broker::DiskLanes {
 public:
  explicit QueuedLanes(storage::Disk& disk) : disk_(disk) {}
  bool reads_at_once = false;  // a read finishes inside submit()
  uint64_t reads = 0;

  void submit(broker::Lane lane, storage::Task task) override {
    reads += lane == broker::Lane::read;
    if (lane == broker::Lane::read && reads_at_once) return run(task);
    queue_.push_back(std::move(task));
  }
  bool run_one() {
    if (queue_.empty()) return false;
    storage::Task task = std::move(queue_.front());
    queue_.pop_front();
    run(task);
    return true;
  }

 private:
  void run(storage::Task& task) {
    task.run(disk_);
    task.finish();
  }
  storage::Disk& disk_;
  std::deque<storage::Task> queue_;
};

class NotingHost final : public Host {
 public:
  HostFacts fact;
  std::vector<admin::ConfigRow> rows;
  std::vector<admin::CertificateRow> certificate_rows;
  Reloaded reloaded;
  std::vector<AuditEntry> audited;
  int entered = 0;
  int left = 0;

  NotingHost() {
    fact.version = "0.1.0";
    fact.uptime_ms = 12'345;
    fact.recovered = fact.listening = true;
  }
  void enter() override { ++entered; }
  void leave() override { ++left; }
  HostFacts facts() override { return fact; }
  std::vector<admin::ConfigRow> configuration() override { return rows; }
  Reloaded reload() override { return reloaded; }
  std::vector<admin::CertificateRow> certificates() override { return certificate_rows; }
  void audit(const AuditEntry& entry) override { audited.push_back(entry); }
};

inline broker::SubscriptionSpec quarantining(std::string name, std::string consumer) {
  broker::SubscriptionSpec spec;
  spec.name = std::move(name);
  spec.consumer = std::move(consumer);
  spec.on_nack.push_back({true, "", broker::NackAction::quarantine});
  return spec;
}

class World {
 public:
  explicit World(const std::vector<broker::SubscriptionSpec>& specs = {}) {
    broker::State state;
    broker::Fold fold(state);
    storage::StoreIdentity identity;
    identity.id.bytes[0] = 7;
    identity.server_instance_id = 4711;
    storage::LogOptions options;
    options.segment_bytes = 1 << 20;
    auto opened = storage::open_store(disk, identity, options, fold, {now_.monotonic_ms, 0});
    REQUIRE(opened);
    log = std::move(opened->log);
    broker::Settings settings;
    settings.server_name = "gateway-7";
    broker = std::make_unique<broker::Broker>(*log, std::move(state), transport, lanes, settings,
                                              1);
    broker->start(specs, now_);
    commands = std::make_unique<Commands>(*broker, host);
    run();
  }

  uint64_t wall_ms() const { return now_.wall_ms; }
  void advance(uint64_t ms) {
    now_.monotonic_ms += ms;
    now_.wall_ms += ms;
    broker->set_time(now_);
  }

  // One round of the loop without the disk. True: there is more to do at once.
  bool round() {
    const bool more = broker->turn();
    commands->on_round();
    return more || commands->slices_waiting();
  }
  void run() {
    broker->set_time(now_);
    bool more = true;
    while (more) {
      more = round();
      more = lanes.run_one() || more;
    }
  }

  // ---- peers ----
  broker::ConnectionId connect(const std::string& client_id, uint32_t instance) {
    const broker::ConnectionId id = broker->connect(client_id, "192.0.2.1:5");
    protocol::ConnectionRequest request;
    request.application_version = "1.0";
    request.client_instance_id = instance;
    std::string bytes;
    protocol::append_request(bytes, request);
    broker->on_bytes(id, bytes);
    run();
    frames(id);
    return id;
  }
  void publish(broker::ConnectionId id, uint64_t offset, std::string key = "k",
               std::string data = "data", uint64_t timestamp = 99) {
    protocol::Event event{1, 1, std::move(key), offset, timestamp, std::move(data)};
    std::string payload, bytes;
    protocol::append_event(payload, event.view());
    protocol::append_publish(bytes, static_cast<uint16_t>(offset % protocol::kMessageIds), payload);
    broker->on_bytes(id, bytes);
    run();
  }
  // Refuses everything that was sent to this consumer; returns how many.
  size_t refuse_all(broker::ConnectionId id) { return answer_all(id, false); }
  size_t ack_all(broker::ConnectionId id) { return answer_all(id, true); }

  // ---- commands ----
  void start(const admin::Command& command, Done done) {
    commands->execute(command, {1, 1000, 1000}, std::move(done));
  }
  admin::Reply ask(const admin::Command& command) {
    std::vector<admin::Reply> replies;
    start(command, [&](admin::Reply reply) { replies.push_back(std::move(reply)); });
    run();
    REQUIRE(replies.size() == 1);
    return replies.front();
  }

  storage::SimulatedDisk disk;
  QuietTransport transport;
  QueuedLanes lanes{disk};
  NotingHost host;
  std::unique_ptr<storage::EventLog> log;
  std::unique_ptr<broker::Broker> broker;
  std::unique_ptr<Commands> commands;

 private:
  std::vector<std::string> frames(broker::ConnectionId id) {
    std::vector<std::string> found;
    protocol::OutputBuffer* output = broker->output(id);
    if (output == nullptr) return found;
    const std::string bytes(output->unsent());
    output->mark_sent(bytes.size());
    broker->on_writable(id);
    protocol::FrameSplitter splitter;
    splitter.lend(bytes);
    while (const auto frame = splitter.next()) found.emplace_back(*frame);
    return found;
  }
  size_t answer_all(broker::ConnectionId id, bool good) {
    size_t count = 0;
    for (const std::string& frame : frames(id)) {
      const auto message = protocol::decode_frame(frame);
      REQUIRE(message);
      const auto* publish = std::get_if<protocol::Publish>(&*message);
      if (publish == nullptr) continue;
      std::string answer;
      if (good) {
        protocol::append_ack(answer, publish->message_id);
      } else {
        protocol::append_nack(answer, publish->message_id, "\x05", "does not fit");
      }
      broker->on_bytes(id, answer);
      ++count;
    }
    run();
    return count;
  }

  broker::Time now_{1'000'000, 1'700'000'000'000};
};

}  // namespace sink::admin_server::fixture

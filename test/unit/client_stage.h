// A client's connection on a loop of its own that it shares with a scripted server on loopback,
// with TLS or without. Not responsible for what either does. Certificates come from the development
// CA.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>
#include <uv.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/sink_client.h"
#include "fake_server.h"
#include "tls/context.h"
#include "tools/pki/pki.h"

namespace sink::test {

using client::Connection;
using Words = std::vector<std::string>;

inline uint64_t wall_ms() {
  using namespace std::chrono;
  return static_cast<uint64_t>(
      duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
}

// A directory with a CA, server certificates for 127.0.0.1 and for localhost, a client's, and a
// foreign CA.
struct Certificates {
  Certificates() {
    char pattern[] = "/tmp/sink_connection_XXXXXX";
    directory = mkdtemp(pattern);
    make(directory + "/ca");
    make(directory + "/foreign");
  }
  ~Certificates() { std::filesystem::remove_all(directory); }

  static void make(const std::string& ca) {
    REQUIRE(tools::init_ca(ca, {}).has_value());
    tools::IssueOptions server;
    server.name = "server";
    server.kind = tools::CertificateKind::server;
    server.san_ip = {"127.0.0.1"};
    REQUIRE(tools::issue(ca, server).has_value());
    server = {};
    server.name = "named";
    server.kind = tools::CertificateKind::server;
    server.san_dns = {"localhost"};
    REQUIRE(tools::issue(ca, server).has_value());
    tools::IssueOptions device;
    device.name = "device";
    REQUIRE(tools::issue(ca, device).has_value());
  }
  std::shared_ptr<const tls::ServerContext> server(const std::string& name) const {
    const std::string ca = directory + "/ca/";
    tls::ServerOptions options{ca + name + ".pem", ca + name + ".key", ca + "ca.pem", "", {}};
    return tls::ServerContext::load(options, wall_ms()).value();
  }
  std::shared_ptr<const tls::ClientContext> client(const std::string& trust = "ca",
                                                   const std::string& own = "ca") const {
    const std::string path = directory + "/" + own + "/device";
    tls::ClientOptions options{
        path + ".pem", path + ".key", directory + "/" + trust + "/ca.pem", "", {}};
    return tls::ClientContext::load(options, wall_ms()).value();
  }
  std::string directory;
};

inline const Certificates& certificates() {
  static const Certificates made;
  return made;
}

struct Device : client::Listener {
  void on_connected(const client::Connected& now) override {
    notes.push_back(now.new_client ? "connected as new" : "connected");
    tls_version = now.tls_version;
    if (when_connected) when_connected();
  }
  void on_disconnected(const client::Disconnection& lost) override {
    notes.push_back(std::string("lost while ") + to_string(lost.stage));
    reason = lost.reason;
    retry_in_ms = lost.retry_in_ms;
  }
  void on_refused(const client::Refusal& refusal) override {
    notes.push_back(std::string("refused: ") + protocol::to_string(refusal.code));
    reason = std::string(refusal.machine) + "/" + std::string(refusal.human);
    retry_in_ms = refusal.retry_in_ms;
  }
  void on_answer(const client::Answer& answer) override {
    (answer.acked ? acked : nacked).push_back(answer.tag);
    if (when_answered) when_answered();
  }
  void on_delivery(const client::Delivery& delivery) override {
    delivered.push_back(delivery.event.offset);
    ids.push_back(delivery.id);
    if (when_delivered) when_delivered(delivery);
  }
  void on_fallback() override { notes.push_back("falls back"); }
  void on_dropped(const client::Dropped& dropped) override {
    std::string note = std::string(to_string(dropped.reason)) + ":";
    for (const auto& event : dropped.events)
      note += " " + std::to_string(event.tag) + (event.sent ? "s" : "");
    drops.push_back(note);
    if (when_dropped) when_dropped(dropped);
  }
  void on_kept(const client::Kept& now) override {
    kept.insert(kept.end(), now.tags.begin(), now.tags.end());
    if (when_kept) when_kept();
  }
  void on_session_not_kept(protocol::Bytes problem) override { not_kept.emplace_back(problem); }
  void on_room() override { ++rooms; }
  void on_closed() override { closed = true; }

  void on_state(const client::StateChange& change) override {
    CHECK(change.from != change.to);
    states.push_back(to_string(change.to));
    state_reasons.emplace_back(change.reason);
    if (when_state) when_state(change);
  }

  Words notes, states, state_reasons, drops, not_kept;
  std::string reason, tls_version;
  uint64_t retry_in_ms = 0;
  std::vector<uint64_t> acked, nacked, delivered, kept;
  std::vector<client::DeliveryId> ids;
  std::function<void(const client::StateChange&)> when_state;
  std::function<void(const client::Dropped&)> when_dropped;
  std::function<void()> when_kept;
  std::function<void()> when_connected, when_answered;
  std::function<void(const client::Delivery&)> when_delivered;
  int rooms = 0;
  bool closed = false;
};

struct Stage {
  explicit Stage(bool with_tls = true, const std::string& certificate = "server") {
    std::signal(SIGPIPE, SIG_IGN);
    REQUIRE(uv_loop_init(&loop) == 0);
    server.emplace(&loop, with_tls ? certificates().server(certificate) : nullptr);
    options.server = {"127.0.0.1", std::to_string(server->port()), ""};
    if (with_tls) options.tls = certificates().client();
    options.application_version = "1.0.0";
    options.protocol_version = 0;
    options.queue_age_ms = 0;  // however slow the machine
  }
  ~Stage() {
    connection.reset();
    server->close();
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop) == 0);
  }

  void start() {
    connection = std::make_unique<Connection>(&loop, options, persistence, device);
    connection->start();
  }

  // Runs the loop until the condition holds; fails where it does not in so many turns.
  template <class Condition>
  void until(Condition&& condition) {
    run_until(condition);
    REQUIRE(condition());
  }

  // Turns that find nothing to do last a millisecond.
  void turns(int count) {
    run_until([&] { return count-- <= 0; });
  }

  template <class Condition>
  void run_until(Condition&& condition) {
    // Turns a millisecond apart, ten seconds of them on a machine that is quick; a slow one takes
    // longer for as many.
    int ticks = 0;
    uv_timer_t tick;
    uv_timer_init(&loop, &tick);
    tick.data = &ticks;
    uv_timer_start(
        &tick, [](uv_timer_t* timer) { ++*static_cast<int*>(timer->data); }, 1, 1);
    while (!condition() && ticks < 10'000) uv_run(&loop, UV_RUN_ONCE);
    uv_close(reinterpret_cast<uv_handle_t*>(&tick), nullptr);
    uv_run(&loop, UV_RUN_NOWAIT);
  }

  void publish(uint64_t offset) {
    const protocol::EventView event{1, 1, "key", offset, 0, "data"};
    REQUIRE(connection->publish(event, offset) == client::PublishResult::queued);
  }
  bool connected() const { return connection->state() == client::ConnectionState::connected; }

  uv_loop_t loop{};
  std::optional<FakeServer> server;
  client::Options options;
  std::shared_ptr<client::Persistence> persistence = std::make_shared<client::MemoryPersistence>();
  Device device;
  std::unique_ptr<Connection> connection;
};

}  // namespace sink::test

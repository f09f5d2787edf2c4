// The states of a connection, each change with its reason: against a scripted server on loopback.
#include "client_stage.h"

namespace {

using namespace sink;
using client::ConnectionState;
using test::Stage;
using test::Words;

// Attempts follow each other fast enough for a test.
struct QuickStage : Stage {
  QuickStage() : Stage(false) { options.backoff = {1, 4, 0, 0}; }
};

}  // namespace

TEST_CASE(
    "state: it connects, loses, waits, connects again and closes, each told with its reason") {
  QuickStage stage;
  stage.start();
  CHECK(stage.device.states == Words{"connecting"});
  stage.until([&] { return stage.connected(); });
  stage.server->drop(*stage.server->peer);
  stage.until([&] { return stage.device.states.size() == 5; });
  stage.connection->close();
  CHECK(stage.connection->state() == ConnectionState::closed);  // at once
  stage.until([&] { return stage.device.closed; });
  CHECK(stage.device.states ==
        Words{"connecting", "connected", "disconnected", "reconnecting", "connected", "closed"});
  CHECK(stage.device.state_reasons == Words{"started", "the handshake is complete",
                                            "the server closed the connection", "the wait is over",
                                            "the handshake is complete", "closed by its user"});
}

TEST_CASE("state: until it was connected once it is connecting, not reconnecting") {
  QuickStage stage;
  stage.server->stop_listening();
  stage.start();
  stage.until([&] { return stage.device.states.size() >= 5; });
  stage.server->listen_again();
  stage.until([&] { return stage.connected(); });
  CHECK(std::ranges::count(stage.device.states, "reconnecting") == 0);
  CHECK(stage.device.states[1] == "disconnected");
  CHECK(stage.device.state_reasons[1].find("cannot connect to 127.0.0.1") == 0);
}

TEST_CASE("state: a refusal is the reason, with the server's words or ours") {
  QuickStage stage;
  stage.options.backoff.base_ms = stage.options.backoff.max_ms = 1'000;
  stage.server->refuse = protocol::ConnectionResponse{protocol::ResponseCode::quarantined, 0, "q1",
                                                      "ask the operator"};
  stage.start();
  stage.until([&] { return stage.device.states.size() == 2; });
  CHECK(stage.device.states[1] == "disconnected");
  CHECK(stage.device.state_reasons[1] == "refused (quarantined): ask the operator");
  CHECK(stage.device.retry_in_ms == 1'000);
}

TEST_CASE("state: a refusal waits at least as long as the server asked, and brings both messages") {
  QuickStage stage;
  stage.options.protocol_version = 1;
  protocol::Welcome words;
  words.machine = "q1";
  words.human = "recalled";
  words.retry_after_ms = 90'000;
  stage.server->refuse_in_version_1 = words;
  stage.start();
  stage.until([&] { return !stage.device.notes.empty(); });
  CHECK(stage.device.notes == Words{"refused: quarantined"});
  CHECK(stage.device.reason == "q1/recalled");
  CHECK(stage.device.retry_in_ms == 90'000);
}

TEST_CASE("state: a bounded number of attempts ends in failed, for good") {
  QuickStage stage;
  stage.options.backoff.attempts_max = 3;
  stage.server->stop_listening();
  stage.start();
  stage.until([&] { return stage.connection->state() == ConnectionState::failed; });
  CHECK(stage.device.states ==
        Words{"connecting", "disconnected", "connecting", "disconnected", "connecting", "failed"});
  CHECK(stage.device.state_reasons.back().find("gave up after 3 attempts") == 0);
  CHECK(stage.device.notes.size() == 3);
  CHECK(stage.device.retry_in_ms == 0);
  CHECK(stage.connection->publish({1, 1, "k", 1, 0, ""}, 1) == client::PublishResult::closed);
  stage.server->listen_again();
  stage.turns(50);
  CHECK(stage.server->peer == nullptr);
  stage.connection->close();
  stage.until([&] { return stage.device.closed; });
  CHECK(stage.device.states.back() == "closed");
}

TEST_CASE("state: a server that accepts and drops uses up the attempts") {
  QuickStage stage;
  stage.options.backoff = {60'000, 60'000, 0, 1};
  stage.server->on_connected = [&](auto& peer) { stage.server->drop(peer); };
  stage.start();
  stage.until([&] { return stage.connection->state() == ConnectionState::failed; });
}

TEST_CASE("state: wrong options fail at once and name the one to change") {
  const auto failed_with = [](auto change) {
    QuickStage stage;
    change(stage.options);
    stage.start();
    CHECK(stage.connection->state() == ConnectionState::failed);
    CHECK(stage.device.states == Words{"failed"});
    return stage.device.state_reasons.at(0);
  };
  CHECK(failed_with([](auto& options) { options.backoff.max_ms = 0; }) ==
        "backoff.max_ms: must not be below backoff.base_ms");
  CHECK(failed_with([](auto& options) { options.backoff.base_ms = 0; }).find("backoff.base_ms") ==
        0);
  CHECK(failed_with([](auto& options) {
          options.backoff.jitter_percent = 101;
        }).find("backoff.j") == 0);
  CHECK(failed_with([](auto& options) { options.window = 0; }).find("window") == 0);
  CHECK(failed_with([](auto& options) { options.server = {}; }).find("server") == 0);
}

TEST_CASE("state: a connection may be closed or destroyed while it tells of any state") {
  for (const char* state : {"connecting", "connected", "disconnected", "reconnecting", "failed"}) {
    for (const bool destroys : {false, true}) {
      CAPTURE(state);
      QuickStage stage;
      stage.options.backoff.attempts_max = 2;
      bool done = false;
      stage.device.when_state = [&](const client::StateChange& change) {
        if (stage.connection == nullptr || done || to_string(change.to) != std::string(state))
          return;
        done = true;
        destroys ? stage.connection.reset() : stage.connection->close();
      };
      stage.device.when_connected = [&] {
        stage.server->stop_listening();
        stage.server->drop(*stage.server->peer);
      };
      stage.start();
      stage.until([&] { return done; });
      if (!destroys) stage.until([&] { return stage.device.closed; });
      if (!destroys) CHECK(stage.device.states.back() == "closed");
    }
  }
}

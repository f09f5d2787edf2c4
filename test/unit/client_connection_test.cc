// The client's connection over real sockets and real TLS on loopback, against a scripted server
// that shares its loop.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "client_stage.h"

namespace {

using namespace sink;
using client::Connection;
using test::certificates;
using test::Stage;
using test::Words;

class FullDisk : public client::Persistence {
 public:
  tl::expected<std::optional<client::Identity>, std::string> load() override {
    return client::Identity{1, std::nullopt};
  }
  tl::expected<void, std::string> save(const client::Identity&) override {
    return tl::unexpected(std::string("no space"));
  }
};

}  // namespace

TEST_CASE("connection: a new client's ids are on disk before it is told that it is connected") {
  Stage stage;
  const std::string file = certificates().directory + "/new.state";
  stage.persistence = std::make_shared<client::FilePersistence>(file);
  std::optional<client::Identity> on_disk;
  stage.device.when_connected = [&] { on_disk = client::FilePersistence(file).load().value(); };
  stage.start();
  stage.publish(1);
  stage.publish(2);
  stage.until([&] { return stage.device.acked.size() == 2; });
  REQUIRE(on_disk.has_value());
  CHECK(on_disk == client::Identity{*stage.server->recorded, 99,
                                    {{to_string(stage.options.server), 99}}});
  CHECK(stage.device.notes == Words{"connected as new"});
  CHECK(stage.device.tls_version == "TLSv1.3");
  CHECK(stage.device.acked == std::vector<uint64_t>{1, 2});
  CHECK(stage.connection->unanswered() == 0);
}

TEST_CASE("connection: a server of version 0 is asked again at once in its own version, and once") {
  Stage stage;
  stage.options.protocol_version = 1;
  stage.start();
  stage.publish(1);
  stage.until([&] { return stage.device.acked.size() == 1; });
  CHECK(stage.device.notes == Words{"falls back", "connected as new"});
  CHECK(stage.device.retry_in_ms == 0);
  stage.server->drop(*stage.server->peer);
  stage.until([&] { return stage.device.notes.size() == 4; });
  CHECK(stage.device.notes.back() == "connected");  // without asking for version 1 once more
}

TEST_CASE("connection: a server that closes instead of answering version 1 is asked in version 0") {
  Stage stage;
  stage.options.protocol_version = 1;
  stage.server->crashes_at_version_1 = true;
  stage.start();
  stage.publish(1);
  stage.until([&] { return stage.device.acked.size() == 1; });
  CHECK(stage.device.notes == Words{"lost while handshaking", "lost while handshaking",
                                    "falls back", "connected as new"});
}

TEST_CASE("connection: after a loss it reconnects and republishes in order") {
  Stage stage;
  stage.options.window = 5;
  bool answering = false;
  const auto answer = stage.server->on_publish;
  stage.server->on_publish = [&](auto& peer, const auto& publish) {
    if (answering) return answer(peer, publish);
    if (stage.server->offsets.size() == 5) stage.server->drop(peer);
  };
  stage.start();
  for (uint64_t offset = 1; offset <= 20; ++offset) stage.publish(offset);
  stage.until([&] { return !stage.device.reason.empty(); });
  CHECK(stage.device.retry_in_ms >= 800);
  CHECK(stage.device.retry_in_ms <= 1200);
  answering = true;
  stage.until([&] { return stage.device.acked.size() == 20; });
  CHECK(stage.device.notes == Words{"connected as new", "lost while connected", "connected"});
  std::vector<uint64_t> expected = {1, 2, 3, 4, 5};
  for (uint64_t offset = 1; offset <= 20; ++offset) expected.push_back(offset);
  CHECK(stage.server->offsets == expected);
  CHECK(stage.server->requested_server_ids ==
        std::vector<std::optional<uint32_t>>{std::nullopt, 99});
  CHECK(stage.connection->counters().republishes == 5);
}

TEST_CASE("connection: deliveries are ACKed and NACKed, but not those of an earlier connection") {
  Stage stage;
  stage.device.when_delivered = [&](const client::Delivery& delivery) {
    if (delivery.event.offset == 1) CHECK(stage.connection->ack(delivery.id));
    if (delivery.event.offset == 2) CHECK(stage.connection->nack(delivery.id, "m", "no thanks"));
  };
  stage.start();
  stage.until([&] { return stage.connected(); });
  stage.server->deliver(*stage.server->peer, 4095, 1);
  stage.server->deliver(*stage.server->peer, 0, 2);
  stage.server->deliver(*stage.server->peer, 1, 3);
  stage.until([&] { return stage.server->nacks.size() == 1 && stage.device.ids.size() == 3; });
  CHECK(stage.server->acks == std::vector<uint16_t>{4095});
  CHECK(stage.server->nacks == Words{"m/no thanks"});
  stage.server->drop(*stage.server->peer);
  stage.until([&] { return stage.device.notes.size() == 3 && stage.connected(); });
  CHECK_FALSE(stage.connection->ack(stage.device.ids[2]));
  stage.server->deliver(*stage.server->peer, 1, 3);
  stage.until([&] { return stage.device.ids.size() == 4; });
  CHECK_FALSE(stage.connection->ack(stage.device.ids[2]));
  CHECK(stage.connection->ack(stage.device.ids[3]));
  stage.until([&] { return stage.server->acks.size() == 2; });
}

TEST_CASE("connection: a refusal is told with both messages and backs off") {
  Stage stage;
  stage.server->refuse = protocol::ConnectionResponse{protocol::ResponseCode::quarantined, 0, "q1",
                                                      "ask the operator"};
  stage.start();
  stage.until([&] { return !stage.device.notes.empty(); });
  CHECK(stage.device.notes == Words{"refused: quarantined"});
  CHECK(stage.device.reason == "q1/ask the operator");
  CHECK(stage.device.retry_in_ms >= 800);
  CHECK(stage.connection->state() == client::ConnectionState::disconnected);
  stage.until([&] { return stage.device.notes.size() == 2; });
  CHECK(stage.device.retry_in_ms >= 1600);
  stage.server->refuse.reset();
  stage.until([&] { return stage.connected(); });
}

TEST_CASE("connection: failures name the stage they happened in") {
  SUBCASE("the server's certificate is of a foreign CA") {
    Stage stage;
    stage.options.tls = certificates().client("foreign", "ca");
    stage.start();
    stage.until([&] { return !stage.device.notes.empty(); });
    CHECK(stage.device.notes == Words{"lost while securing"});
    CHECK(stage.device.reason.find("certificate") != std::string::npos);
  }
  SUBCASE("the client's certificate is of a foreign CA") {
    Stage stage;
    stage.options.tls = certificates().client("ca", "foreign");
    stage.start();
    stage.until([&] { return !stage.device.notes.empty(); });
    CHECK(stage.device.notes == Words{"lost while handshaking"});
    CHECK(stage.device.reason.find("refused") != std::string::npos);
  }
  SUBCASE("the certificate names somebody else") {
    Stage stage;
    stage.options.server_name = "elsewhere.example";
    stage.start();
    stage.until([&] { return !stage.device.notes.empty(); });
    CHECK(stage.device.notes == Words{"lost while securing"});
  }
  SUBCASE("nobody listens") {
    Stage stage;
    stage.server->stop_listening();
    stage.start();
    stage.until([&] { return !stage.device.notes.empty(); });
    CHECK(stage.device.notes == Words{"lost while connecting"});
    stage.server->listen_again();
    stage.until([&] { return stage.connected(); });
  }
  SUBCASE("the name does not resolve") {
    Stage stage;
    stage.options.server.host = "no-such-host.invalid";
    stage.start();
    stage.until([&] { return !stage.device.notes.empty(); });
    CHECK(stage.device.notes == Words{"lost while resolving"});
  }
  SUBCASE("the ids cannot be saved") {
    Stage stage;
    stage.persistence = std::make_shared<FullDisk>();
    stage.start();
    stage.until([&] { return !stage.device.notes.empty(); });
    CHECK(stage.device.notes == Words{"lost while identity"});
    CHECK(stage.device.reason == "no space");
  }
  SUBCASE("the server never answers") {
    Stage stage(false);
    stage.options.connect_timeout_ms = 50;
    stage.options.tls = certificates().client();  // to a plaintext server that waits for a frame
    stage.start();
    // A machine that stands still may use the 50 ms up before; then it connects once more.
    stage.until([&] { return std::ranges::count(stage.device.notes, "lost while securing") > 0; });
    CHECK(stage.device.reason == "no answer within 50 ms");
  }
}

TEST_CASE("connection: close sends what is buffered, says goodbye and reports the end") {
  Stage stage;
  stage.start();
  stage.device.when_delivered = [&](const client::Delivery& delivery) {
    stage.connection->ack(delivery.id);
    stage.connection->close();
  };
  stage.until([&] { return stage.connected(); });
  stage.server->deliver(*stage.server->peer, 7, 1);
  stage.server->deliver(*stage.server->peer, 8, 2);
  stage.until([&] { return stage.device.closed; });
  CHECK(stage.server->acks == std::vector<uint16_t>{7});
  CHECK(stage.server->ends == 1);
  CHECK(stage.device.delivered == std::vector<uint64_t>{1});
  CHECK(stage.connection->state() == client::ConnectionState::closed);
  CHECK(stage.connection->publish({1, 1, "k", 1, 0, ""}, 1) == client::PublishResult::closed);
}

TEST_CASE("connection: it may be destroyed in any of its callbacks and in any state") {
  SUBCASE("never started") {
    Stage stage;
    stage.connection =
        std::make_unique<Connection>(&stage.loop, stage.options, stage.persistence, stage.device);
  }
  SUBCASE("just started") {
    Stage stage;
    stage.start();
  }
  SUBCASE("after every number of loop turns") {
    for (int turns = 1; turns < 40; ++turns) {
      Stage stage;
      stage.start();
      stage.publish(1);
      stage.turns(turns);
    }
  }
  SUBCASE("when connected") {
    Stage stage;
    stage.device.when_connected = [&] { stage.connection.reset(); };
    stage.start();
    stage.publish(1);
    stage.until([&] { return stage.connection == nullptr; });
  }
  SUBCASE("when answered") {
    Stage stage;
    stage.device.when_answered = [&] { stage.connection.reset(); };
    stage.start();
    for (uint64_t offset = 1; offset < 100; ++offset) stage.publish(offset);
    stage.until([&] { return stage.connection == nullptr; });
    CHECK(stage.device.acked.size() == 1);
  }
}

TEST_CASE("connection: a full queue says so, and says when there is room") {
  Stage stage;
  stage.options.queue_events = 10;
  stage.options.overflow = client::Overflow::refuse;
  stage.start();
  for (uint64_t offset = 1; offset <= 10; ++offset) stage.publish(offset);
  const protocol::EventView event{1, 1, "key", 11, 0, "data"};
  CHECK(stage.connection->publish(event, 11) == client::PublishResult::queue_full);
  CHECK(stage.connection->publish({1, 1, "key", 11, 0, std::string(65'536, 'x')}, 11) ==
        client::PublishResult::too_large);
  stage.until([&] { return stage.device.rooms > 0; });
  CHECK(stage.connection->publish(event, 11) == client::PublishResult::queued);
  stage.until([&] { return stage.device.acked.size() == 11; });
  CHECK(stage.device.rooms == 1);
}

TEST_CASE("connection: many large events pass with partial writes, over TLS and plaintext") {
  for (const bool with_tls : {true, false}) {
    Stage stage(with_tls);
    stage.start();
    const std::string data(60'000, 'x');
    for (uint64_t offset = 0; offset < 500; ++offset)
      REQUIRE(stage.connection->publish({1, 1, "key", offset, 0, data}, offset) ==
              client::PublishResult::queued);
    stage.until([&] { return stage.device.acked.size() == 500; });
    for (uint64_t offset = 0; offset < 500; ++offset) CHECK(stage.device.acked[offset] == offset);
  }
}

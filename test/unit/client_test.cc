// The client without sockets: queue, backoff, ids on disk, and Link as a function of bytes and
// time. The server's side of each conversation is written with the protocol library's own encoder.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "client/link.h"
#include "client/persistence.h"
#include "client/publish_queue.h"
#include "protocol/backoff.h"

namespace {

using namespace sink::client;
using namespace sink::protocol;

EventView event(uint64_t offset, Bytes data = "data") {
  return {1, 1, "key", offset, 0, data};
}

uint64_t offset_of(Bytes payload) {
  return decode_event(payload).value().offset;
}

// ---- a link and the frames it sent ----

struct Frames {
  std::vector<std::string> raw;
  std::vector<Message> messages;
};

// One conversation. The server's frames go in through say(), what the client wrote comes out of
// heard(), what it reported stands in `events` as short words.
struct Conversation {
  explicit Conversation(Identity identity = {7, 9}, uint16_t window = 4, size_t queue_events = 100)
      : durable{identity, PublishQueue({queue_events, 1 << 20}), {}, {}, {}} {
    options.application_version = "1.2.3";
    options.window = window;
    options.first_message_id = 4094;
    options.protocol_version = 0;
    connect();
  }

  void connect() {
    link.emplace(durable, options, now_ms);
    events.clear();
  }

  void say(const std::string& bytes, size_t piece = SIZE_MAX) {
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const std::string part = bytes.substr(at, piece);
      link->lend(part, now_ms);
      collect();
      link->settle();
    }
  }

  void collect() {
    while (const auto happened = link->next()) note(*happened);
  }

  void note(const LinkEvent& happened) {
    if (const auto* hello = std::get_if<HelloNewClient>(&happened))
      events.push_back("hello " + std::to_string(hello->server_instance_id));
    if (std::holds_alternative<HandshakeDone>(happened)) events.push_back("done");
    if (const auto* refused = std::get_if<LinkRefused>(&happened))
      events.push_back(std::string("refused ") + to_string(refused->code) + " " +
                       std::string(refused->machine) + " " + std::string(refused->human));
    if (const auto* answer = std::get_if<PublishAnswered>(&happened))
      events.push_back((answer->acked ? "acked " : "nacked ") + std::to_string(answer->tag) + " " +
                       std::string(answer->machine) + std::string(answer->human));
    if (const auto* delivered = std::get_if<EventDelivered>(&happened))
      events.push_back("delivered " + std::to_string(delivered->message_id) + " " +
                       std::string(delivered->event.event_data));
    if (const auto* failed = std::get_if<LinkFailed>(&happened))
      events.push_back("failed " + failed->reason);
  }

  // Everything the client has written since the last call, as messages that own their bytes.
  const std::vector<Message>& heard() {
    frames.raw.assign(1, std::string(link->output().unsent()));
    link->mark_sent(frames.raw[0].size(), now_ms);
    frames.messages.clear();
    FrameSplitter splitter;
    splitter.lend(frames.raw[0]);
    while (const auto frame = splitter.next())
      frames.messages.push_back(decode_frame(*frame).value());
    return frames.messages;
  }

  std::vector<Publish> heard_publishes() {
    std::vector<Publish> publishes;
    for (const auto& message : heard())
      if (const auto* publish = std::get_if<Publish>(&message)) publishes.push_back(*publish);
    return publishes;
  }

  void publish(uint64_t offset) {
    REQUIRE(durable.queue.push(event(offset), offset, 0));
    link->send_queued();
  }

  std::string response(ResponseCode code, uint32_t server = 0) {
    std::string out;
    append_response(out, {code, server, {}, {}});
    return out;
  }

  void shake_hands() {
    say(response(ResponseCode::connected));
    heard();
    events.clear();
  }

  DurableState durable;
  LinkOptions options;
  std::optional<Link> link;
  std::vector<std::string> events;
  Frames frames;
  uint64_t now_ms = 1'000'000;
};

std::string ack(uint16_t id) {
  std::string out;
  append_ack(out, id);
  return out;
}
std::string nack(uint16_t id, Bytes machine, Bytes human) {
  std::string out;
  append_nack(out, id, machine, human);
  return out;
}
std::string delivery(uint16_t id, Bytes data) {
  std::string payload, out;
  append_event(payload, event(1, data));
  append_publish(out, id, payload);
  return out;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("publish queue: keeps order and bytes through holes, compaction and rewind") {
  PublishQueue queue({10'000, 1 << 24});
  std::vector<PublishQueue::Slot> slots;
  const std::string data(300, 'x');
  for (uint64_t i = 0; i < 1000; ++i) {
    REQUIRE(queue.push(event(i, data), i, 0));
    slots.push_back(queue.next_unsent());
    CHECK_FALSE(queue.mark_sent());
  }
  for (size_t i = 0; i < 1000; ++i) {
    if (i % 7 == 3) continue;
    const auto taken = queue.take(slots[i]);
    CHECK(taken.tag == i);
    CHECK(offset_of(taken.payload) == i);
  }
  REQUIRE(queue.push(event(1000, data), 1000, 0));  // compacts
  CHECK(queue.bytes() < 200 * 320);
  queue.rewind();
  CHECK(queue.unsent() == queue.size());
  uint64_t expected = 3;
  while (queue.next_unsent() != PublishQueue::kNone) {
    CHECK(offset_of(queue.payload(queue.next_unsent())) == expected);
    CHECK(queue.mark_sent() == (expected != 1000));
    expected = expected == 997 ? 1000 : expected + 7;
  }
}

TEST_CASE("publish queue: says when it is full, by events and by bytes") {
  PublishQueue few({2, 1 << 20});
  CHECK(few.push(event(1), 1, 0));
  CHECK(few.push(event(2), 2, 0));
  CHECK_FALSE(few.push(event(3), 3, 0));
  const auto slot = few.next_unsent();
  few.mark_sent();
  few.take(slot);
  CHECK(few.push(event(3), 3, 0));
  PublishQueue small({100, 20});
  CHECK(small.push(event(1, "0123456789012345"), 1, 0));
  CHECK_FALSE(small.push(event(2), 2, 0));
}

TEST_CASE("backoff: a connection that has done its work counts as one that lasted") {
  sink::protocol::Backoff backoff;
  for (int i = 0; i < 4; ++i) backoff.next_delay_ms(0, 0);
  backoff.on_connected(10'000);
  backoff.on_useful();
  CHECK(backoff.next_delay_ms(10'001, 200) == 1'000);
  backoff.on_connected(12'000);
  CHECK(backoff.next_delay_ms(12'001, 400) == 2'000);
}

TEST_CASE("backoff: doubles from 1 s to 30 s with 20 % jitter and never gives up") {
  sink::protocol::Backoff backoff;
  const uint64_t nominal[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
  for (const uint64_t expected : nominal) {
    sink::protocol::Backoff low = backoff, high = backoff;
    CHECK(low.next_delay_ms(0, 0) == expected * 8 / 10);
    CHECK(high.next_delay_ms(0, static_cast<uint32_t>(2 * (expected / 5))) == expected * 12 / 10);
    backoff.next_delay_ms(0, 12345);
  }
}

TEST_CASE("backoff: only a connection that lasted as long as the wait it stands for resets it") {
  sink::protocol::Backoff backoff;
  uint64_t now = 5'000;
  CHECK(backoff.next_delay_ms(now, 200) == 1000);
  CHECK(backoff.next_delay_ms(now, 400) == 2000);
  backoff.on_connected(now);
  CHECK(backoff.next_delay_ms(now + 3'999, 800) == 4000);  // accepted and dropped
  backoff.on_connected(now);
  CHECK(backoff.next_delay_ms(now + 8'000, 200) == 1000);
  CHECK(backoff.next_delay_ms(now + 60'000, 400) == 2000);  // an attempt does not last
}

TEST_CASE("backoff: base, maximum and jitter are the user's") {
  sink::protocol::Backoff backoff({10, 25, 0, 0});
  for (const uint64_t expected : {10, 20, 25, 25}) CHECK(backoff.next_delay_ms(0, 7) == expected);
  sink::protocol::Backoff wild({10, 25, 100, 0});
  CHECK(wild.next_delay_ms(0, 0) == 1);  // 0 would be no wait at all
  CHECK(wild.next_delay_ms(0, 40) == 40);
}

TEST_CASE("backoff: with a bound it ends, and a connection that lasted begins the count anew") {
  sink::protocol::Backoff backoff({10, 10, 0, 3});
  CHECK(backoff.next_delay_ms(0, 0).has_value());
  CHECK(backoff.next_delay_ms(0, 0).has_value());
  backoff.on_connected(0);
  CHECK(backoff.next_delay_ms(10, 0).has_value());
  CHECK(backoff.next_delay_ms(20, 0).has_value());
  backoff.on_connected(30);
  CHECK(backoff.next_delay_ms(39, 0).has_value());  // did not last
  CHECK_FALSE(backoff.next_delay_ms(40, 0).has_value());
}

TEST_CASE("file persistence: survives, and never makes a new identity of a damaged file") {
  char directory[] = "/tmp/sink_client_XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/client.state";
  FilePersistence persistence(path);
  CHECK(persistence.load().value() == std::nullopt);
  REQUIRE(persistence.save({4'294'967'295u, std::nullopt}).has_value());
  CHECK(persistence.load().value() == Identity{4'294'967'295u, std::nullopt});
  REQUIRE(persistence.save({5, 6}).has_value());
  CHECK(FilePersistence(path).load().value() == Identity{5, 6});
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  for (const char* damaged : {"", "client_instance_id = 5", "client_instance_id = -5\n",
                              "client_instance_id = 5\nserver_instance_id = \n",
                              "client_instance_id = 5\nserver_instance_id = 6\nmore\n"}) {
    std::ofstream(path, std::ios::trunc) << damaged;
    CHECK_FALSE(persistence.load().has_value());
  }
  std::remove(path.c_str());
  CHECK_FALSE(FilePersistence(std::string(directory) + "/absent/file").save({1, 2}).has_value());
  rmdir(directory);
}

TEST_CASE("key-value persistence: one value, as durable as the user's store makes it") {
  std::map<std::string, std::string> kept;
  std::string problem;
  KeyValuePersistence persistence(
      {[&](const std::string& key) -> tl::expected<std::optional<std::string>, std::string> {
         if (!problem.empty()) return tl::unexpected(problem);
         if (!kept.contains(key)) return std::nullopt;
         return kept[key];
       },
       [&](const std::string& key, std::string_view value) -> tl::expected<void, std::string> {
         if (!problem.empty()) return tl::unexpected(problem);
         kept[key] = value;
         return {};
       }});
  CHECK(persistence.load().value() == std::nullopt);
  REQUIRE(persistence.save({5, std::nullopt}).has_value());
  CHECK(persistence.load().value() == Identity{5, std::nullopt});
  REQUIRE(persistence.save({5, 6}).has_value());
  CHECK(persistence.load().value() == Identity{5, 6});
  CHECK(kept.size() == 1);
  kept["sink.identity"] += "more";
  CHECK(persistence.load().error().find("the value of sink.identity does not hold") == 0);
  problem = "the flash is worn out";
  CHECK(persistence.load().error() == problem);
  CHECK(persistence.save({5, 6}).error() == problem);
}

TEST_CASE("link: a known client is connected and sends what waited, in order") {
  Conversation talk;
  talk.publish(1);
  talk.publish(2);
  const auto request = std::get<ConnectionRequest>(talk.heard().at(0));
  CHECK(talk.frames.messages.size() == 1);  // no event before the handshake
  CHECK(request.application_version == "1.2.3");
  CHECK(request.client_instance_id == 7);
  CHECK(request.server_instance_id == 9);
  talk.say(talk.response(ResponseCode::connected));
  CHECK(talk.events == Words{"done"});
  const auto publishes = talk.heard_publishes();
  REQUIRE(publishes.size() == 2);
  CHECK(publishes[0].message_id == 4094);
  CHECK(publishes[0].event.offset == 1);
  CHECK(publishes[1].message_id == 4095);
  CHECK(talk.durable.counters.handshakes == 1);
}

TEST_CASE("link: hello is saved before anything passes, whatever follows it at once") {
  Conversation talk({7, std::nullopt});
  talk.publish(1);
  CHECK_FALSE(std::get<ConnectionRequest>(talk.heard().at(0)).server_instance_id.has_value());
  talk.say(talk.response(ResponseCode::hello_new_client, 33) + delivery(5, "early"));
  CHECK(talk.events == Words{"hello 33"});
  CHECK(talk.link->state() == LinkState::awaiting_save);
  CHECK_FALSE(talk.link->wants_input());
  CHECK(talk.heard().empty());
  CHECK_FALSE(talk.durable.identity.server_instance_id.has_value());
  talk.link->identity_saved();
  talk.collect();
  CHECK(talk.events == Words{"hello 33", "done", "delivered 5 early"});
  CHECK(talk.durable.identity == Identity{7, 33});
  CHECK(talk.heard_publishes().size() == 1);
}

TEST_CASE("link: a hello whose save failed leaves the client unknown") {
  Conversation talk({7, std::nullopt});
  talk.say(talk.response(ResponseCode::hello_new_client, 33));
  talk.link->end();
  talk.connect();
  CHECK_FALSE(std::get<ConnectionRequest>(talk.heard().at(0)).server_instance_id.has_value());
}

TEST_CASE("link: refusals are reported with both messages and end the link") {
  Conversation talk;
  std::string bytes;
  append_response(bytes, {ResponseCode::quarantined, 0, "q1", "ask the operator"});
  talk.say(bytes + ack(1));
  CHECK(talk.events == Words{"refused quarantined q1 ask the operator"});
  CHECK(talk.link->state() == LinkState::ended);
  for (const auto code :
       {ResponseCode::instance_id_mismatch, ResponseCode::unsupported_protocol_version,
        ResponseCode::unsupported_application_version}) {
    talk.connect();
    talk.say(talk.response(code));
    CHECK(talk.events == Words{std::string("refused ") + to_string(code) + "  "});
  }
  CHECK(talk.durable.counters.handshakes == 0);
}

TEST_CASE("link: what a server may not say ends the link") {
  std::string ping;
  append_ping(ping);
  Conversation unknown({7, std::nullopt}), known;
  const std::string connected = known.response(ResponseCode::connected);
  const std::string hello = known.response(ResponseCode::hello_new_client, 3);
  const std::pair<Conversation*, std::string> cases[] = {
      {&unknown, connected},                                      // without ever having told its id
      {&known, hello},                                            // to a client that knows it
      {&known, ack(1)},                                           // before the handshake
      {&known, ping},                                             //
      {&known, std::string("\0\0", 2)},                           // an empty frame
      {&known, connected + connected},                            // twice
      {&known, connected + std::string("\0\3\x30\1\1", 5)},       // an ACK with a payload
      {&known, connected + delivery(5, "a") + delivery(5, "b")},  // a live id again
  };
  for (const auto& [talk, bytes] : cases) {
    talk->connect();
    talk->say(bytes);
    REQUIRE_FALSE(talk->events.empty());
    CHECK(talk->events.back().substr(0, 7) == "failed ");
    CHECK(talk->link->state() == LinkState::ended);
  }
}

TEST_CASE("link: the window holds back, and every answer frees a place") {
  Conversation talk({7, 9}, 2);
  talk.shake_hands();
  for (uint64_t offset = 1; offset <= 5; ++offset) talk.publish(offset);
  CHECK(talk.heard_publishes().size() == 2);
  CHECK(talk.link->in_flight() == 2);
  talk.say(nack(4095, "m", "human"));
  CHECK(talk.events == Words{"nacked 2 mhuman"});
  auto sent = talk.heard_publishes();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].event.offset == 3);
  CHECK(sent[0].message_id == 0);  // ids wrap
  talk.say(ack(4094) + ack(0));
  CHECK(talk.events == Words{"nacked 2 mhuman", "acked 1 ", "acked 3 "});
  CHECK(talk.heard_publishes().size() == 2);
  CHECK(talk.durable.queue.size() == 2);
}

TEST_CASE("link: answers to ids that are not in flight are counted and change nothing") {
  Conversation talk;
  talk.shake_hands();
  talk.publish(1);
  talk.say(ack(17) + nack(18, "", "") + ack(4094) + ack(4094));
  CHECK(talk.events == Words{"acked 1 "});
  CHECK(talk.durable.counters.unknown_answers == 3);
  CHECK(talk.link->state() == LinkState::connected);
}

TEST_CASE("link: after a reconnect what was not answered is sent again, in order, same ack key") {
  Conversation talk({7, 9}, 3);
  talk.shake_hands();
  for (uint64_t offset = 1; offset <= 5; ++offset) talk.publish(offset);
  talk.heard();
  talk.say(ack(4095));  // offset 2, out of order
  talk.heard();
  talk.connect();
  CHECK(talk.heard_publishes().empty());
  talk.say(talk.response(ResponseCode::connected));
  const auto sent = talk.heard_publishes();
  REQUIRE(sent.size() == 3);
  CHECK(sent[0].event.offset == 1);
  CHECK(sent[1].event.offset == 3);
  CHECK(sent[2].event.offset == 4);
  CHECK(talk.durable.counters.republishes == 3);
  talk.say(ack(4094) + ack(4095) + ack(0));
  CHECK(talk.heard_publishes().at(0).event.offset == 5);
  talk.say(ack(1));
  CHECK(talk.durable.queue.size() == 0);
  CHECK(talk.durable.counters.acked == 5);
}

TEST_CASE("link: a delivery is answered once") {
  Conversation talk;
  talk.shake_hands();
  talk.say(delivery(5, "a") + delivery(6, "b"));
  CHECK(talk.events == Words{"delivered 5 a", "delivered 6 b"});
  CHECK_FALSE(talk.link->ack(7));
  CHECK_FALSE(talk.link->ack(4096 + 5));
  CHECK(talk.link->ack(5));
  CHECK_FALSE(talk.link->ack(5));
  CHECK_FALSE(talk.link->nack(5, "m", "h"));
  CHECK(talk.link->nack(6, "m", std::string(70'000, 'h')));
  const auto& said = talk.heard();
  REQUIRE(said.size() == 2);
  CHECK(std::get<Ack>(said[0]).message_id == 5);
  CHECK(std::get<Nack>(said[1]).machine == "m");
  CHECK(std::get<Nack>(said[1]).human.size() > 60'000);
  talk.say(delivery(5, "again"));  // the id is free now
  CHECK(talk.events.back() == "delivered 5 again");
}

TEST_CASE("link: pings after 60 s of silence, answers pings, gives up after 90 s") {
  Conversation talk;
  talk.shake_hands();
  std::string ping, pong;
  append_ping(ping);
  append_pong(pong);
  talk.say(ping);
  CHECK(std::holds_alternative<Pong>(talk.heard().at(0)));
  CHECK(talk.link->deadline_ms() == talk.now_ms + 60'000);
  talk.now_ms += 59'999;
  CHECK_FALSE(talk.link->tick(talk.now_ms).has_value());
  CHECK(talk.heard().empty());
  talk.now_ms += 1;
  CHECK_FALSE(talk.link->tick(talk.now_ms).has_value());
  CHECK(std::holds_alternative<Ping>(talk.heard().at(0)));
  talk.now_ms += 20'000;
  talk.say(pong);
  talk.now_ms += 89'999;
  CHECK_FALSE(talk.link->tick(talk.now_ms).has_value());
  talk.now_ms += 1;
  CHECK(talk.link->tick(talk.now_ms).has_value());
  CHECK(talk.link->state() == LinkState::ended);
}

TEST_CASE("link: a slow server holds events in the queue, not in the output") {
  Conversation talk({7, 9}, 4095, 5000);
  talk.durable.queue = PublishQueue({5000, 1 << 30});
  talk.shake_hands();
  const std::string large(60'000, 'x');
  for (uint64_t offset = 0; offset < 100; ++offset) {
    REQUIRE(talk.durable.queue.push(event(offset, large), offset, 0));
    talk.link->send_queued();
  }
  CHECK(talk.link->output().size() < kOutputHighWater + 65'537);
  CHECK(talk.durable.queue.unsent() > 80);
  size_t sent = 0;
  while (!talk.link->output().empty()) sent += talk.heard_publishes().size();
  CHECK(sent == 100);
}

TEST_CASE("link: a conversation means the same however its bytes are cut") {
  std::string bytes;
  append_response(bytes, {ResponseCode::hello_new_client, 33, {}, {}});
  const std::string rest = delivery(5, "a") + ack(4094) + nack(4095, "m", "h") + delivery(6, "b");
  Words whole;
  for (size_t piece = 1; piece <= rest.size(); ++piece) {
    Conversation talk({7, std::nullopt});
    talk.publish(1);
    talk.publish(2);
    talk.say(bytes, piece);
    talk.link->identity_saved();
    talk.collect();
    talk.heard();
    talk.say(rest, piece);
    if (piece == 1) whole = talk.events;
    CHECK(talk.events == whole);
  }
  CHECK(whole ==
        Words{"hello 33", "done", "delivered 5 a", "acked 1 ", "nacked 2 mh", "delivered 6 b"});
}

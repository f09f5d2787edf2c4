// The client's side of version 1 sessions: one DurableState, one Link after the other.
#include <doctest/doctest.h>

#include "client/link.h"

using namespace sink;
using namespace sink::client;
using protocol::Message;
using protocol::ResponseCode;

namespace {

std::string encoded(uint64_t offset) {
  std::string payload;
  protocol::append_event(payload, {1, 0, "k", offset, 0, "data"});
  return payload;
}

std::string deliver(uint16_t id, const std::string& payload) {
  std::string frame;
  protocol::append_deliver(
      frame, {id, "alarms", "pump", 2, *protocol::decode_event(payload), payload});
  return frame;
}

// The server's part is written here frame by frame.
struct Talk {
  Talk() {
    durable.identity = {7, 9};
    options.application_version = "1.2.3";
    options.window = 10;
    options.first_message_id = 4094;
    connect();
  }

  void connect() {
    link.emplace(durable, options, 1'000);
    events.clear();
    splitter = protocol::Session(protocol::Role::server);
    sent = heard();
    const auto* request = std::get_if<protocol::ConnectionRequest>(&sent.at(0));
    REQUIRE(request != nullptr);
    CHECK(request->protocol_version == 1);
    greeting = protocol::decode_greeting(request->greeting).value();
    splitter.accept();
  }

  // What the link has written, message by message; their views die with the next call.
  std::vector<Message> heard() {
    bytes = std::string(link->output().unsent());
    link->mark_sent(bytes.size(), 1'000);
    splitter.lend(bytes);
    std::vector<Message> messages;
    for (;;) {
      const auto message = splitter.next();
      REQUIRE(message.has_value());
      if (!*message) return messages;
      messages.push_back(**message);
    }
  }

  void say(const std::string& frames) {
    link->lend(frames, 1'000);
    while (auto event = link->next()) events.push_back(std::move(*event));
    link->settle();
  }

  void welcome(const protocol::Welcome& words, ResponseCode code = ResponseCode::connected) {
    const std::string body = protocol::encode_welcome(words);
    std::string frame;
    protocol::append_response(frame, {code, 0, {}, {}, body});
    say(frame);
  }
  protocol::Welcome new_session(uint8_t id) {
    protocol::Welcome words;
    words.server_instance_id = 9;
    words.session.id[0] = id;
    return words;
  }

  void publish(uint64_t offset) {
    REQUIRE(durable.queue.push({1, 0, "k", offset, 0, "data"}, offset, 0));
    link->send_queued();
  }

  // Ids and offsets of the PUBLISH frames, ids of the answers: "publish 4094 1", "ack 5", "nack 6".
  std::vector<std::string> spoken() {
    std::vector<std::string> words;
    for (const Message& message : heard()) {
      if (const auto* publish = std::get_if<protocol::Publish>(&message))
        words.push_back("publish " + std::to_string(publish->message_id) + " " +
                        std::to_string(publish->event.offset));
      if (const auto* ack = std::get_if<protocol::Ack>(&message))
        words.push_back("ack " + std::to_string(ack->message_id));
      if (const auto* nack = std::get_if<protocol::Nack>(&message))
        words.push_back("nack " + std::to_string(nack->message_id) + " " + std::string(nack->human));
    }
    return words;
  }

  template <class Event>
  const Event& last() {
    REQUIRE(!events.empty());
    const auto* event = std::get_if<Event>(&events.back());
    REQUIRE(event != nullptr);
    return *event;
  }

  DurableState durable{{}, PublishQueue({100, 1 << 20}), {}, {}, {}};
  LinkOptions options;
  std::optional<Link> link;
  protocol::Session splitter{protocol::Role::server};
  std::string bytes;
  std::vector<Message> sent;
  protocol::Greeting greeting;
  std::vector<LinkEvent> events;
};

using Words = std::vector<std::string>;

protocol::Tally tally_of(std::initializer_list<uint64_t> offsets) {
  protocol::Tally tally;
  for (const uint64_t offset : offsets) tally.add(encoded(offset));
  return tally;
}

}  // namespace

TEST_CASE("client v1: greets, and is told what a delivery is") {
  Talk talk;
  CHECK(talk.greeting.application_version == "1.2.3");
  CHECK(talk.greeting.client_instance_id == 7);
  CHECK(talk.greeting.server_instance_id == 9);
  CHECK(talk.greeting.limits.window == protocol::kWindowMax);
  CHECK_FALSE(talk.greeting.session);
  talk.welcome(talk.new_session(1));
  CHECK_FALSE(talk.last<HandshakeDone>().resumed);
  const std::string payload = encoded(5);
  const std::string frame = deliver(77, payload);
  talk.link->lend(frame, 1'000);
  const auto event = talk.link->next();
  REQUIRE(event);
  const auto& delivered = std::get<EventDelivered>(*event);
  CHECK(delivered.subscription == "alarms");
  CHECK(delivered.source == "pump");
  CHECK(delivered.attempt == 2);
  CHECK(delivered.event.offset == 5);
}

TEST_CASE("client v1: a resumed session sends only what has not arrived, and its missed answers") {
  Talk talk;
  talk.welcome(talk.new_session(1));
  for (const uint64_t offset : {1, 2, 3}) talk.publish(offset);
  CHECK(talk.spoken() == Words{"publish 4094 1", "publish 4095 2", "publish 0 3"});
  std::string ack;
  protocol::append_ack(ack, 4094);
  talk.say(ack);
  for (const uint16_t id : {10, 11, 12}) talk.say(deliver(id, encoded(id)));
  CHECK(talk.link->ack(10));
  CHECK(talk.link->nack(11, "\x07", "broken"));

  talk.connect();
  REQUIRE(talk.greeting.session);
  CHECK(talk.greeting.session->id[0] == 1);
  CHECK(talk.greeting.session->sent == 3);
  CHECK(talk.greeting.session->awaited == std::vector<uint16_t>{4095, 0});
  CHECK(talk.greeting.session->received == 3);
  CHECK(talk.greeting.session->checksum == tally_of({10, 11, 12}).checksum);
  talk.publish(4);  // queued meanwhile
  auto words = talk.new_session(1);
  words.resumed = true;
  words.session.received = 2;
  words.session.checksum = tally_of({1, 2}).checksum;
  words.session.sent = 3;
  words.session.awaited = {11, 12};
  talk.welcome(words);
  CHECK(talk.last<HandshakeDone>().resumed);
  CHECK(talk.spoken() == Words{"nack 11 broken", "publish 1 3", "publish 2 4"});
  CHECK(talk.durable.counters.resumed == 1);
  CHECK(talk.link->ack(12));
  CHECK_FALSE(talk.link->ack(10));
  ack.clear();
  for (const uint16_t id : {4095, 1, 2}) protocol::append_ack(ack, id);
  talk.say(ack);
  CHECK(talk.durable.queue.size() == 0);
}

TEST_CASE("client v1: what was dropped meanwhile is not sent by the session that goes on") {
  Talk talk;
  talk.welcome(talk.new_session(1));
  for (const uint64_t offset : {1, 2, 3, 4}) talk.publish(offset);
  CHECK(talk.spoken() ==
        Words{"publish 4094 1", "publish 4095 2", "publish 0 3", "publish 1 4"});
  talk.link->end();
  PublishQueue& queue = talk.durable.queue;
  for (const uint64_t offset : {1, 2, 3}) {
    CHECK(queue.take(queue.oldest(PublishQueue::Reach::all)).tag == offset);
  }
  talk.connect();
  REQUIRE(talk.greeting.session);
  CHECK(talk.greeting.session->sent == 4);  // the session counts what it has sent
  CHECK(talk.greeting.session->awaited == std::vector<uint16_t>{4094, 4095, 0, 1});
  talk.publish(5);  // into the slot of a dropped one
  auto words = talk.new_session(1);
  words.resumed = true;
  words.session.received = 2;
  words.session.checksum = tally_of({1, 2}).checksum;
  talk.welcome(words);
  CHECK(talk.last<HandshakeDone>().resumed);
  CHECK(talk.spoken() == Words{"publish 2 4", "publish 3 5"});
  std::string answers;
  for (const uint16_t id : {4094, 4095, 2}) protocol::append_ack(answers, id);
  talk.say(answers);
  CHECK(talk.durable.counters.late_answers == 2);
  CHECK(talk.durable.counters.acked == 1);
  CHECK(queue.size() == 1);
}

TEST_CASE("client v1: a session of which everything was dropped goes on with what is new") {
  Talk talk;
  talk.welcome(talk.new_session(1));
  for (const uint64_t offset : {1, 2}) talk.publish(offset);
  talk.spoken();
  talk.link->end();
  PublishQueue& queue = talk.durable.queue;
  while (queue.size() > 0) (void)queue.take(queue.oldest(PublishQueue::Reach::all));
  talk.connect();
  talk.publish(3);
  auto words = talk.new_session(1);
  words.resumed = true;
  talk.welcome(words);
  CHECK(talk.last<HandshakeDone>().resumed);
  CHECK(talk.spoken() == Words{"publish 0 3"});
}

TEST_CASE("client v1: a new session sends everything again that was not answered") {
  Talk talk;
  talk.welcome(talk.new_session(1));
  for (const uint64_t offset : {1, 2}) talk.publish(offset);
  talk.spoken();
  talk.say(deliver(10, encoded(1)));
  talk.connect();
  auto words = talk.new_session(2);
  words.new_because = protocol::NewSessionReason::expired;
  talk.welcome(words);
  CHECK(talk.last<HandshakeDone>().new_because == protocol::NewSessionReason::expired);
  CHECK(talk.spoken() == Words{"publish 4094 1", "publish 4095 2"});
  CHECK_FALSE(talk.link->ack(10));  // it will be delivered anew
  talk.connect();
  CHECK(talk.greeting.session->id[0] == 2);
  CHECK(talk.greeting.session->received == 0);
}

TEST_CASE("client v1: a server that remembers another session is left, and asked for a new one") {
  const auto contradicted = [](auto change) {
    Talk talk;
    talk.welcome(talk.new_session(1));
    talk.publish(1);
    talk.connect();
    auto words = talk.new_session(1);
    words.resumed = true;
    words.session.received = 1;
    words.session.checksum = tally_of({1}).checksum;
    change(words);
    talk.welcome(words);
    const bool failed = std::holds_alternative<LinkFailed>(talk.events.back());
    talk.connect();
    CHECK(talk.greeting.session.has_value() == !failed);
    return failed;
  };
  CHECK_FALSE(contradicted([](protocol::Welcome&) {}));
  CHECK(contradicted([](protocol::Welcome& words) { words.session.id[0] = 2; }));
  CHECK(contradicted([](protocol::Welcome& words) { ++words.session.checksum; }));
  CHECK(contradicted([](protocol::Welcome& words) { words.session.received = 2; }));
}

TEST_CASE("client v1: refusals that could not be kept are not given as ACKs") {
  Talk talk;
  talk.welcome(talk.new_session(1));
  talk.say(deliver(10, encoded(10)));
  talk.connect();
  REQUIRE(talk.greeting.session);
  // Answered while the request is under way, in more words than are kept.
  talk.durable.session.answers.on_nack(10, std::string(70'000, 'm'), "");
  auto words = talk.new_session(1);
  words.resumed = true;
  words.session.sent = 1;
  words.session.awaited = {10};
  talk.welcome(words);
  CHECK(std::holds_alternative<LinkFailed>(talk.events.back()));
  CHECK(talk.spoken().empty());
  talk.connect();
  CHECK_FALSE(talk.greeting.session);
}

TEST_CASE("client v1: the server's window is kept to") {
  Talk talk;
  auto words = talk.new_session(1);
  words.limits.window = 2;
  words.keepalive_ms = 5'000;
  talk.welcome(words);
  CHECK(talk.link->deadline_ms() == 6'000);  // and to its patience
  for (const uint64_t offset : {1, 2, 3}) talk.publish(offset);
  CHECK(talk.spoken() == Words{"publish 4094 1", "publish 4095 2"});
}

TEST_CASE("client v1: refusals bring words and patience, goodbyes a reason") {
  Talk talk;
  auto words = talk.new_session(1);
  words.machine = "\x07";
  words.human = "recalled";
  words.retry_after_ms = 60'000;
  talk.welcome(words, ResponseCode::quarantined);
  const auto refused = talk.last<LinkRefused>();
  CHECK(refused.code == ResponseCode::quarantined);
  CHECK(refused.machine == "\x07");
  CHECK(refused.human == "recalled");
  CHECK(refused.retry_after_ms == 60'000);

  talk.connect();
  std::string old_servers_answer;
  protocol::append_response(old_servers_answer, {ResponseCode::unsupported_protocol_version, 0, {}, {}, {}});
  talk.say(old_servers_answer);
  CHECK(talk.last<LinkRefused>().code == ResponseCode::unsupported_protocol_version);

  talk.connect();
  talk.welcome(talk.new_session(2));
  std::string goodbye;
  protocol::append_control(goodbye, 0, protocol::encode_control(protocol::Goodbye{
                                           protocol::GoodbyeReason::another_server, "nearer"}));
  talk.say(goodbye);
  CHECK(talk.last<GoodbyeSaid>().reason == protocol::GoodbyeReason::another_server);
  CHECK(talk.last<GoodbyeSaid>().human == "nearer");
}

TEST_CASE("client v1: a welcome that is no table is a broken protocol") {
  Talk talk;
  std::string frame;
  protocol::append_response(frame, {ResponseCode::connected, 0, {}, {}, "no table"});
  talk.say(frame);
  CHECK(std::holds_alternative<LinkFailed>(talk.events.back()));
}

TEST_CASE("client v1: what is asked for is answered with its tag") {
  Talk talk;
  CHECK_FALSE(talk.link->request(protocol::Seek{}, 7));  // not connected yet
  talk.welcome(talk.new_session(1));
  REQUIRE(talk.link->request(protocol::Seek{}, 70));
  REQUIRE(talk.link->request(protocol::Unsubscribe{"alarms"}, 71));
  const auto asked = talk.heard();
  REQUIRE(asked.size() == 2);
  const auto& control = std::get<protocol::Control>(asked[1]);
  const uint16_t first = std::get<protocol::Control>(asked[0]).message_id;
  const uint16_t second = control.message_id;
  CHECK(first != second);
  CHECK(protocol::decode_control(control.body) ==
        protocol::ControlRequest(protocol::Unsubscribe{"alarms"}));

  const auto reply = [](uint16_t number, const protocol::ControlOutcome& outcome) {
    std::string frame;
    protocol::append_control_reply(frame, number, protocol::encode_outcome(outcome));
    return frame;
  };
  talk.events.clear();
  const protocol::ControlOutcome refused{protocol::ErrorCode::not_found, "no such thing"};
  talk.say(reply(second, refused) + reply(second, refused) + reply(999, {}) + reply(first, {}));
  REQUIRE(talk.events.size() == 2);  // the second answer, and the one to nothing, are passed over
  CHECK(std::get<ReplyReceived>(talk.events[0]).tag == 71);
  CHECK(std::get<ReplyReceived>(talk.events[0]).outcome == refused);
  CHECK(std::get<ReplyReceived>(talk.events[1]).tag == 70);
  CHECK(talk.link->take_unreplied().empty());
}

TEST_CASE("client v1: so many requests may be unanswered, and a reply that is no table is the end") {
  Talk talk;
  talk.welcome(talk.new_session(1));
  for (size_t i = 0; i < kRequestsMax; ++i) CHECK(talk.link->request(protocol::Seek{}, 100 + i));
  CHECK_FALSE(talk.link->request(protocol::Seek{}, 1));
  std::string frame;
  protocol::append_control_reply(frame, 1, "nonsense");
  talk.events.clear();
  talk.say(frame);
  REQUIRE(talk.events.size() == 1);
  CHECK(std::holds_alternative<LinkFailed>(talk.events[0]));
  const auto unreplied = talk.link->take_unreplied();  // the one that was answered badly, too
  REQUIRE(unreplied.size() == kRequestsMax);
  for (size_t i = 0; i < kRequestsMax; ++i) CHECK(unreplied[i] == 100 + i);
  CHECK(talk.link->take_unreplied().empty());
}

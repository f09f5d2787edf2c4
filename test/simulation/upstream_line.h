// One link of the gateway's uplink as its server has it: a connection at a time, and a session that
// outlives it. Thinks about each event, answers it well or badly, has events of its own, loses the
// connection now and then. What has not arrived of its own it forgets: it sends nothing twice.
// Written apart from the engine's uplinks and sessions. Deterministic.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "protocol/answer_memory.h"
#include "protocol/control/greeting.h"
#include "protocol/session.h"
#include "protocol/tally.h"
#include "test/simulation/gateway.h"
#include "test/simulation/link_faults.h"

namespace sink::simulation {

// What all links of one server share.
struct UpstreamFacts {
  uint8_t version = 0;
  uint32_t batch_events = 0;  // that it takes in one BATCH
  uint8_t links = 1;          // that it takes of one client
  uint32_t instance_id = 0x0c10'0001;
  std::optional<uint32_t> known;  // the gateway's instance id
  uint64_t offset = 0;            // of the last event it made
  uint64_t sessions = 0;          // it has begun
  bool healed = false;            // breaks nothing, and has nothing more to say
};

class UpstreamLine {
 public:
  UpstreamLine(Stage& stage, UpstreamFacts& facts, uint8_t number)
      : stage_(stage), facts_(facts), number_(number) {}

  struct Arrival {
    std::shared_ptr<Link> link;
    protocol::Session session{protocol::Role::server};
  };
  // A connection whose request has been read; the one before it, if any, is over.
  void begin_v0(Arrival arrival, const protocol::ConnectionRequest& request);
  void begin_v1(Arrival arrival, const protocol::Greeting& greeting);
  // The client has begun anew on another link.
  void end();
  void heal();

  void advance();
  uint64_t next_ms() const;

 private:
  // Of the present connection: a server of version 1 may be asked for version 0.
  uint8_t version_ = 0;
  struct Unanswered {
    uint16_t id = 0;
    uint64_t due_ms = 0;
    size_t batch_events = 0;  // 0: it is a PUBLISH
  };
  // Its own that the gateway has not answered, by number in the session.
  struct Told {
    uint16_t id = 0;
    uint32_t checksum_before = 0;
  };

  void take(Arrival arrival);
  std::optional<protocol::ResponseCode> judge(uint32_t client, std::optional<uint32_t> server);
  void begin_session(protocol::Welcome& welcome);
  bool resumes(const protocol::SessionPoint& asked, protocol::Welcome& welcome,
               std::string& answers);
  bool forget_unreceived(const protocol::SessionPoint& asked, protocol::Welcome& welcome);
  void read();
  void on_message(uint16_t id, protocol::Bytes content, size_t batch_events);
  void on_batch(const protocol::BatchFrame& frame);
  void on_answer(uint16_t id);
  void publish(std::string& frames);
  std::string refusal_of(const Unanswered& message);
  void act();
  void send(const std::string& frames);
  void turn_away(const std::string& frames);
  void lose();
  uint64_t now_ms() const { return stage_.clock.monotonic_ms; }
  Random& random() { return stage_.random; }
  FaultPlan& faults() { return stage_.faults; }

  Stage& stage_;
  UpstreamFacts& facts_;
  const uint8_t number_;
  std::shared_ptr<Link> link_;
  protocol::Session session_{protocol::Role::server};
  std::deque<Unanswered> unanswered_;
  std::map<uint64_t, Told> told_;
  protocol::Tally told_tally_;
  uint16_t last_id_ = 0;
  // Version 1: the session that may be resumed.
  std::optional<protocol::SessionId> resumable_;
  protocol::Tally received_;
  protocol::AnswerMemory answers_;
  uint64_t act_at_ms_ = 0;
  LinkFaults link_faults_{LinkFaults::Stalls::brief};
};

}  // namespace sink::simulation

// A simulated server that the gateway's uplink forwards to: takes the connection or does not,
// answers the handshake in version 1 or 0, resumes sessions, thinks about each event, answers it
// well or badly, has events of its own for the gateway, loses connections, and is wiped now and
// then. What has not arrived of its own it forgets: it sends nothing twice. Not responsible for
// judging: what it is sent it believes. Written apart from the engine's uplinks. Deterministic.
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

class Upstream {
 public:
  Upstream(Stage& stage, Gateway& gateway);
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  void advance();
  uint64_t next_ms() const;
  // The faults are over: answers at once, breaks nothing any more.
  void heal();
  // Another machine in its place, which has never heard of the gateway.
  void wipe();
  // Its operator takes the gateway for the one it is.
  void adopt() { known_.reset(); }

 private:
  struct Unanswered {
    uint16_t id = 0;
    uint64_t due_ms = 0;
    size_t batch_events = 0;  // 0: it is a PUBLISH
  };
  void take_dial();
  void on_request(const protocol::ConnectionRequest& request);
  void respond_v0(const protocol::ConnectionRequest& request);
  void respond_v1(const protocol::Greeting& greeting);
  bool resumes(const protocol::SessionPoint& asked, protocol::Welcome& welcome,
               std::string& answers);
  std::optional<protocol::ResponseCode> judge(uint32_t client, std::optional<uint32_t> server);
  void on_message(uint16_t id, protocol::Bytes content, size_t batch_events);
  void on_batch(const protocol::BatchFrame& frame);
  void on_answer(uint16_t id);
  void publish(std::string& frames);
  bool forget_unreceived(const protocol::SessionPoint& asked, protocol::Welcome& welcome);
  std::string refusal_of(const Unanswered& message);
  void act();
  void send(const std::string& frames);
  void lose();
  uint64_t now_ms() const { return stage_.clock.monotonic_ms; }
  Random& random() { return stage_.random; }
  FaultPlan& faults() { return stage_.faults; }

  Stage& stage_;
  Gateway& gateway_;
  const uint8_t version_;
  const uint32_t batch_events_;  // that it takes in one BATCH
  uint32_t instance_id_ = 0x0c10'0001;
  std::optional<uint32_t> known_;  // the gateway's instance id
  std::shared_ptr<Link> link_;
  protocol::Session session_{protocol::Role::server};
  std::deque<Unanswered> unanswered_;
  // Its own that the gateway has not answered, by number in the session.
  struct Told {
    uint16_t id = 0;
    uint32_t checksum_before = 0;
  };
  std::map<uint64_t, Told> told_;
  protocol::Tally told_tally_;
  uint64_t offset_ = 0;  // of the last event it made
  uint16_t last_id_ = 0;
  // Version 1: the session that may be resumed.
  std::optional<protocol::SessionId> resumable_;
  protocol::Tally received_;
  protocol::AnswerMemory answers_;
  uint64_t sessions_ = 0;
  uint64_t act_at_ms_ = 0;
  LinkFaults link_faults_{LinkFaults::Stalls::brief};
  std::optional<uint64_t> dial_seen_ms_;
  bool healed_ = false;  // and has nothing more to say
};

}  // namespace sink::simulation

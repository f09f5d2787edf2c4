// A whole broker with everything around it simulated: disk, disk lanes, network, time, and scripted
// peers that speak real frames. Not responsible for judging beyond what must hold after every step
// (conservation, S3). Deterministic: same calls, same history.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/broker/broker.h"
#include "storage/simulated_disk.h"
#include "storage/store.h"
#include "test/unit/broker/client_session.h"

namespace sink::broker::test {

class World;

// One scripted peer. Names of events are "key/offset".
class Device {
 public:
  Device(World& world, std::string name);

  // Connects and sends the request; both settle the world.
  Device& connect();
  Device& drop();  // the network breaks
  Device& publish(const std::string& key, uint64_t offset, uint64_t type = 1,
                  const std::string& data = "data");
  Device& ack(const std::string& event);
  Device& nack(const std::string& event, std::string machine = "\x01", std::string human = "no");
  Device& ack_all();  // everything received and not answered, oldest first
  // These two do not settle the world: raw bytes, and a PUBLISH of a payload encoded elsewhere.
  void send(const std::string& frames);
  void queue_publish(const std::string& event, protocol::Bytes payload);
  // Version 1. Events of one batch are named by the first.
  Device& publish_batch(const std::vector<protocol::Event>& events);
  Device& request(const protocol::ControlRequest& request);
  Device& forget_session();

  // For drivers that settle the world themselves: what awaits an answer, oldest first; an answer is
  // sent at the next step, its entry is gone at once.
  const std::deque<std::pair<uint16_t, std::string>>& unanswered() const { return delivered_; }
  void queue_ack(uint16_t id);
  void queue_nack(uint16_t id, const std::string& machine);
  void begin_connect();
  void begin_drop();
  // Hands what was queued to the broker here and now; false: it does not read just now.
  bool arrive();

  bool connected() const { return welcomed && !closed; }
  // Events received since the last call, in order: "k/1 k/2".
  std::string take();
  // Answers to its own PUBLISH frames since the last call: "k/1+" for an ACK, "k/1-02" for a NACK.
  std::string take_answers();
  uint16_t id_of(const std::string& event) const;  // of the latest delivery; kNoMessage: none

  std::string name;
  uint32_t instance_id = 0;
  std::optional<uint32_t> server_instance_id;
  std::string application_version = "1.0.0";
  bool reads = true;  // false: takes no bytes
  uint8_t version = 0;  // of the protocol that it asks for
  uint8_t link = 0;     // of several, version 1
  std::optional<protocol::SessionPoint> asks;  // instead of what is true

  ConnectionId connection = 0;
  bool welcomed = false;
  std::optional<protocol::ConnectionResponse> response;  // machine and human: below
  std::string response_machine, response_human;
  std::optional<CloseReason> closed;
  std::vector<protocol::Event> received;  // all of this connection
  std::optional<protocol::Welcome> welcome;  // version 1
  std::vector<std::string> labels;        // version 1, of each delivery: "subscription source attempt"
  std::optional<protocol::ControlOutcome> outcome;   // of the last control request
  std::optional<protocol::Goodbye> goodbye;
  std::vector<protocol::ServiceEnded> services_ended;  // on this connection, like the next two
  std::vector<protocol::ChannelInfo> channels_opened;
  std::vector<protocol::ChannelClosed> channels_closed;
  // Called for each delivery and for each answer to a PUBLISH (true: ACK).
  std::function<void(uint16_t id, const protocol::EventView&)> on_delivery;
  std::function<void(const std::string& event, bool ack)> on_answer;
  // For a peer that speaks for itself (a real client): what the broker sends comes here unread, and
  // connecting sends no request.
  std::function<void(protocol::Bytes)> on_raw_bytes;
  size_t pongs = 0;

 private:
  friend class World;
  void on_bytes(protocol::Bytes bytes);
  void on_message(const protocol::Message& message);

  World& world_;
  protocol::Session session_{protocol::Role::client};
  std::string outgoing_;  // not yet taken by the broker
  bool paused_ = false;
  uint16_t next_id_ = 4'000;                                // soon wraps
  struct Published {
    std::string event, payload;
  };
  void on_welcome();
  void on_event(uint16_t id, const protocol::EventView& event, protocol::Bytes payload);
  ClientSession resumable_;  // version 1
  std::map<uint16_t, Published> published_;                 // by message id, unanswered
  std::deque<std::pair<uint16_t, std::string>> delivered_;  // unanswered
  std::vector<std::string> news_, answers_;
};

class World : public Transport, public DiskLanes, public Dialler {
 public:
  explicit World(uint64_t seed = 1);
  ~World() override;

  // ---- before start() ----
  SubscriptionSpec& subscribe(const std::string& name, const std::string& consumer);
  Settings settings;
  storage::LogOptions options;
  std::vector<SubscriptionSpec> specs;
  std::vector<UplinkSpec> uplinks;
  uint32_t server_instance_id = 4'711;
  storage::SimulatedDisk disk;

  // ---- life ----
  World& start();
  void restart();  // in order: everything settles first
  void kill();     // the process dies between two instructions
  void crash();    // the power fails
  std::vector<std::string> reconfigure();

  Device& device(const std::string& name);
  // Bytes, turns and disk tasks until nothing more happens. False: nothing did.
  bool settle();
  // One round: bytes in, a turn, bytes out. True: something happened.
  bool step();
  bool flush_all();           // bytes out only
  void advance(uint64_t ms);  // in the steps that the broker asks for
  bool hold_commits = false, hold_reads = false, hold_background = false;
  bool run_disk(Lane lane);            // one waiting task; false: none
  bool run_without_finish(Lane lane);  // its effect reaches the disk, the broker never hears of it

  // ---- looking in ----
  Broker& broker() { return *broker_; }
  Core& core() { return broker_->core(); }
  const Counters& counters() { return core().counters; }
  storage::EventLog& log() { return *log_; }
  Tracker& tracker(const std::string& subscription, const std::string& consumer);
  Client& client(const std::string& name);
  bool alarmed(const std::string& key_prefix);
  size_t tasks(Lane lane) const { return lanes_[static_cast<size_t>(lane)].size(); }
  // Positions in quarantine, oldest first.
  std::vector<Position> quarantined(const std::string& subscription, const std::string& consumer);
  // The event at a committed position, read from the disk here and now, and its source.
  std::optional<std::pair<std::string, protocol::Event>> event_at(Position position);
  std::string describe();  // the fold as text: equal text, equal state
  void check();            // what must hold after every step
  Time now{10'000, 1'700'000'000'000};

  // Transport, DiskLanes
  void output_ready(ConnectionId connection) override;
  void close(ConnectionId connection, CloseReason reason) override;
  void resume_input(ConnectionId connection) override;
  void submit(Lane lane, storage::Task task) override;

  // Dialler: what the broker has asked for and nobody has answered.
  struct Dial {
    ConnectionId connection = 0;
    std::string uplink, server;
  };
  std::deque<Dial> dials;
  void dial(ConnectionId connection, const UplinkSpec& uplink, const std::string& server) override;
  // `wire` is the other end of the oldest of them from now on, with its own bytes; false: none.
  bool answer_dial(Device& wire);

 private:
  friend class Device;
  void stop();
  Device* by_connection(ConnectionId connection);
  bool feed(Device& device);
  bool flush(ConnectionId connection);

  std::unique_ptr<storage::EventLog> log_;
  std::unique_ptr<Broker> broker_;
  std::map<std::string, std::unique_ptr<Device>> devices_;
  std::deque<storage::Task> lanes_[3];
  std::vector<ConnectionId> ready_;
  std::map<ConnectionId, CloseReason> closing_;
  uint64_t seed_;
};

}  // namespace sink::broker::test

// A simulated device that publishes: keeps what is not acknowledged and sends it again, in order per
// key, after a reconnect or a refusal. Sometimes skips offsets, goes back, or repeats itself.
#pragma once

#include <map>
#include <string>

#include "test/simulation/peer.h"

namespace sink::simulation {

class Publisher final : public Peer {
 public:
  Publisher(Stage& stage, Gateway& gateway, std::string name, uint64_t window);

  bool idle() const { return outbox_.empty(); }
  void stop_publishing() { publishing_ = false; }
  void on_rot() { rotten_ = true; }
  void heal() override;
  void wipe() override;

 private:
  struct Outgoing {
    std::string payload;
    std::string key;
    bool optional = false;  // may be refused for good
    bool in_flight = false;
  };

  void on_welcome() override;
  void on_message(const protocol::Message& message) override;
  void on_lost() override;
  void on_unreceived(const std::vector<uint16_t>& ids) override;
  uint64_t act(uint64_t now_ms) override;
  void make_event();
  void make_nuisance();
  void enqueue(const std::string& key, uint64_t type, uint64_t offset, bool optional);
  void send_due();
  uint16_t take_id();
  void send_batch(const std::vector<uint64_t>& places, std::string& frames);
  void on_answer(const std::vector<uint64_t>& places, const protocol::Nack* nack);
  void settle(uint64_t place, std::optional<char> refused);

  uint64_t window_;
  std::map<uint64_t, Outgoing> outbox_;      // in the order they were made
  std::map<uint16_t, std::vector<uint64_t>> in_flight_;  // message id -> places in the outbox
  std::map<std::string, uint64_t> offsets_;  // the newest of each key
  uint64_t base_offset_ = 10'000'000;        // lower with every life, so that offsets go back
  uint64_t made_ = 0;
  uint16_t next_id_ = 4'000;                 // soon wraps
  uint64_t not_before_ms_ = 0;               // after a refusal
  std::string last_acked_payload_;
  bool publishing_ = true;
  bool rotten_ = false;  // the gateway's disk
};

}  // namespace sink::simulation

// A simulated consumer: thinks about each delivery, then answers it, well or badly.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "test/simulation/peer.h"

namespace sink::simulation {

class Consumer final : public Peer {
 public:
  Consumer(Stage& stage, Gateway& gateway, std::string name);

  void heal() override;

 private:
  struct Unanswered {
    uint16_t id = 0;
    uint64_t due_ms = 0;
  };

  void on_message(const protocol::Message& message) override;
  void on_lost() override;
  uint64_t act(uint64_t now_ms) override;
  void answer(uint16_t id, std::string& frames);

  std::deque<Unanswered> unanswered_;
  std::deque<uint16_t> of_earlier_connection_;
  uint16_t last_id_ = 0;
  bool any_delivery_ = false;
  bool healed_ = false;
};

}  // namespace sink::simulation

// A client with a good certificate and bad manners: every way to break the protocol, one connection
// at a time. What it does must cost nobody else anything.
#pragma once

#include <memory>
#include <string>

#include "test/simulation/gateway.h"

namespace sink::simulation {

class Vandal {
 public:
  Vandal(Stage& stage, Gateway& gateway, std::string name);

  void advance();
  uint64_t next_ms() const { return act_at_ms_; }
  void leave();  // for good

 private:
  void begin();
  std::string hello() const;
  std::string mutated_publish();
  std::string hello_v1(bool changed);
  std::string nonsense_of_version_1();

  Stage& stage_;
  Gateway& gateway_;
  std::string name_;
  std::shared_ptr<Link> link_;
  uint64_t act_at_ms_;
  uint64_t links_made_ = 0;
  int words_left_ = 0;
  bool gone_ = false;
};

}  // namespace sink::simulation

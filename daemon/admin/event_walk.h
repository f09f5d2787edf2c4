// Visits quarantined events one after the other, each with its record: from memory where the broker
// has it, else read from the log through the broker's read lane. Not responsible for what is done
// with them. Keeps itself alive until it has finished. Invariant: at most one read is under way,
// and a record lives for the visit only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/admin/verbs.h"
#include "storage/block.h"

namespace sink::admin_server {

struct EventName {
  broker::TrackerId tracker = 0;
  storage::Position position = 0;
};

class EventWalk : public std::enable_shared_from_this<EventWalk> {
 public:
  // `tracker` may have lost the event while the log was read: visit has to look. nullopt: the log
  // cannot give the record back.
  using Visit = std::function<void(const EventName&, std::optional<std::string_view> record)>;
  using Finish = std::function<void()>;

  // Calls `finish` once, after the last visit; perhaps before it returns.
  static void start(const Engine& engine, std::vector<EventName> names, Visit visit,
                    Finish finish) {
    std::shared_ptr<EventWalk>(
        new EventWalk(engine, std::move(names), std::move(visit), std::move(finish)))
        ->run();
  }

 private:
  EventWalk(const Engine& engine, std::vector<EventName> names, Visit visit, Finish finish)
      : engine_(engine),
        names_(std::move(names)),
        visit_(std::move(visit)),
        finish_(std::move(finish)) {}

  void run();
  std::optional<std::string_view> find(storage::Position position);
  void request(storage::Position position);
  void on_block(std::shared_ptr<const storage::Block> block);

  Engine engine_;
  std::vector<EventName> names_;
  Visit visit_;
  Finish finish_;
  size_t at_ = 0;
  std::shared_ptr<const storage::Block> block_;  // read last; neighbours are often in it too
  bool tried_ = false;    // the event at at_ has been looked for in the log
  bool reading_ = false;
  bool running_ = false;  // a read that finishes inside submit() must not start a second run
};

}  // namespace sink::admin_server

// Visits quarantined events one after the other, each with its record where one is wanted: from
// memory where the broker has it, else read from the log through the broker's read lane. Not
// responsible for what is done with them. Keeps itself alive until it has finished. Invariants: at
// most one read is under way, a record lives for the visit only, and one round of the loop sees at
// most kVisitsMax visits.
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
  static constexpr size_t kVisitsMax = 500;  // each some microseconds

  enum class Records : uint8_t { wanted, not_wanted };
  // `tracker` may have lost the event since the walk began: visit has to look. nullopt: the log
  // cannot give the record back, or none was wanted.
  using Visit = std::function<void(const EventName&, std::optional<std::string_view> record)>;
  // An error: the disk did not answer, and the rest was not visited.
  using Finish = std::function<void(std::optional<storage::DiskError> error)>;

  // Calls `finish` once, after the last visit; perhaps before it returns.
  static void start(const Engine& engine, std::vector<EventName> names, Records records,
                    Visit visit, Finish finish) {
    std::shared_ptr<EventWalk>(
        new EventWalk(engine, std::move(names), records, std::move(visit), std::move(finish)))
        ->run();
  }

 private:
  EventWalk(const Engine& engine, std::vector<EventName> names, Records records, Visit visit,
            Finish finish)
      : engine_(engine),
        names_(std::move(names)),
        records_(records),
        visit_(std::move(visit)),
        finish_(std::move(finish)) {}

  void run();
  void visit_some();
  std::optional<std::string_view> find(storage::Position position);
  void request(storage::Position position);
  void on_block(const storage::EventLog::ReadResult& result);

  Engine engine_;
  std::vector<EventName> names_;
  Records records_;
  Visit visit_;
  Finish finish_;
  size_t at_ = 0;
  std::shared_ptr<const storage::Block> block_;  // read last; neighbours are often in it too
  std::optional<storage::DiskError> error_;
  bool tried_ = false;    // the event at at_ has been looked for in the log
  bool reading_ = false;
  bool running_ = false;  // a read that finishes inside submit() must not start a second run
};

// The answer where the disk did not give events back: nothing is known to be wrong with them.
admin::Reply refuse_read(const storage::DiskError& error);

}  // namespace sink::admin_server

#include "daemon/admin/event_walk.h"

namespace sink::admin_server {

void EventWalk::run() {
  running_ = true;
  visit_some();
  running_ = false;
  if (reading_) return;
  if (error_ || at_ == names_.size()) return finish_(error_);
  engine_.slices.add([self = shared_from_this()] { self->run(); });
}

// Ends with the names, with a read under way, with an error, or with the slice.
void EventWalk::visit_some() {
  for (size_t visits = 0; visits < kVisitsMax && at_ < names_.size() && !error_;) {
    const EventName name = names_[at_];
    const bool wanted = records_ == Records::wanted;
    const auto record = wanted ? find(name.position) : std::nullopt;
    if (wanted && !record && !tried_) {
      request(name.position);
      if (reading_) return;
      continue;
    }
    visit_(name, record);
    tried_ = false;
    ++at_;
    ++visits;
  }
}

std::optional<std::string_view> EventWalk::find(storage::Position position) {
  if (const auto record = engine_.broker.delivery().find_record(position)) return record;
  return block_ ? block_->find(position) : std::nullopt;
}

void EventWalk::request(storage::Position position) {
  tried_ = true;
  reading_ = true;
  broker::Core& core = engine_.core();
  core.lanes.submit(broker::Lane::read,
                    core.log.read(position, [self = shared_from_this()](const auto& result) {
                      self->on_block(result);
                    }));
}

void EventWalk::on_block(const storage::EventLog::ReadResult& result) {
  reading_ = false;
  if (result) {
    block_ = *result;
  } else {
    error_ = result.error();
  }
  if (running_) return;
  engine_.host.enter();
  run();
}

admin::Reply refuse_read(const storage::DiskError& error) {
  return refuse(admin::Outcome::busy,
                std::string("the disk does not give stored events back just now (") +
                    storage::to_string(error.fault) + ", errno " +
                    std::to_string(error.system_errno) + ")",
                "nothing is lost; try again, and look after the disk if it stays so");
}

}  // namespace sink::admin_server

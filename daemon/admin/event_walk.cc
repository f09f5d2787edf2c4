#include "daemon/admin/event_walk.h"

namespace sink::admin_server {

void EventWalk::run() {
  running_ = true;
  while (at_ < names_.size()) {
    const EventName name = names_[at_];
    const auto record = find(name.position);
    if (!record && !tried_) {
      request(name.position);
      if (!reading_) continue;
      running_ = false;
      return;
    }
    visit_(name, record);
    tried_ = false;
    ++at_;
  }
  running_ = false;
  finish_();
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
                    core.log.read(position, [self = shared_from_this()](auto block) {
                      self->on_block(std::move(block));
                    }));
}

void EventWalk::on_block(std::shared_ptr<const storage::Block> block) {
  reading_ = false;
  block_ = std::move(block);
  if (running_) return;
  engine_.host.enter();
  run();
}

}  // namespace sink::admin_server

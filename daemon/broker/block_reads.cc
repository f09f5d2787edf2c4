#include "daemon/broker/block_reads.h"

#include <algorithm>

namespace sink::broker {

void BlockReads::request(Tracker& tracker, Position position, const storage::Location& place) {
  tracker.awaits_block = true;
  const Where where = number_of(place);
  const auto [piece, fresh] = pieces_.try_emplace(where);
  piece->second.waits.push_back({position, tracker.id});
  if (fresh) submit(where, position);
}

void BlockReads::submit(Where where, Position position) {
  ++core_.counters.blocks_read;
  // unreached: whoever submits has just found the place
  if (const auto place = core_.log.index().locate(position)) pieces_[where].bytes = place->bytes;
  core_.lanes.submit(Lane::read, core_.log.read(position, [this, where](const auto& result) {
                       finish(where, result);
                     }));
}

void BlockReads::finish(Where where, const storage::EventLog::ReadResult& result) {
  const auto found = pieces_.find(where);
  if (found == pieces_.end()) return;  // unreached: a piece stays until its read is finished
  if (!result) return try_later(where, found->second, result.error());
  const Piece piece = std::move(found->second);
  pieces_.erase(found);
  core_.cache.insert(*result);
  for (const Wait& wait : piece.waits) {
    const auto place = core_.log.index().locate(wait.position);
    // Compaction was faster, or the event was committed behind what was asked for: read again.
    const bool elsewhere = place && (number_of(*place) != where || place->bytes > piece.bytes);
    const bool here = *result && (*result)->find(wait.position);
    tell(wait, elsewhere || here ? Outcome::look_again : Outcome::lost);
  }
}

// Nothing is known about the bytes: to call the events damaged would take them out of delivery for
// want of a file descriptor.
void BlockReads::try_later(Where where, Piece& piece, const storage::DiskError& error) {
  ++core_.counters.reads_failed;
  const uint64_t backoff = kBackoffMs << std::min<uint32_t>(piece.failures++, 6);
  core_.timers.set({core_.now.monotonic_ms + std::min(backoff, kBackoffMaxMs),
                    TimerKind::read, 0, where});
  core_.alarm("read", std::string("the disk does not give stored events back (") +
                          storage::to_string(error.fault) + ", errno " +
                          std::to_string(error.system_errno) +
                          "): they are kept and read again; look after the disk, or after the "
                          "limit of open files");
}

// Meanwhile the event may have moved, been dropped or expired, or its consumer gone away.
void BlockReads::on_timer(const Timer& timer) {
  const Where where = timer.position;
  const auto found = pieces_.find(where);
  if (found == pieces_.end()) return;  // unreached: a piece stays until its timer strikes
  std::vector<Wait> left, waits = std::move(found->second.waits);
  for (const Wait& wait : waits) {
    const auto place = core_.log.index().locate(wait.position);
    // unreached: elsewhere only if compaction moves it within a backoff; finish() meets that, too
    const bool here = place && number_of(*place) == where;
    (here && still_waits(wait) ? found->second.waits : left).push_back(wait);
  }
  if (found->second.waits.empty()) {
    pieces_.erase(found);
  } else {
    submit(where, found->second.waits.front().position);
  }
  for (const Wait& wait : left) tell(wait, Outcome::look_again);
}

bool BlockReads::still_waits(const Wait& wait) const {
  const Tracker* tracker = core_.state.tracker(wait.tracker);
  return tracker != nullptr && tracker->client != nullptr && tracker->client->links.connected() &&
         tracker->has_next() &&
         tracker->next(core_.deliverable_end()) == wait.position;
}

void BlockReads::tell(const Wait& wait, Outcome outcome) {
  Tracker* tracker = core_.state.tracker(wait.tracker);
  if (tracker == nullptr) return;
  tracker->awaits_block = false;
  on_done(*tracker, wait.position, outcome);
}

}  // namespace sink::broker

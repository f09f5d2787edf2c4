#include "daemon/broker/log_cursors.h"

#include <algorithm>

#include "daemon/broker/glob.h"
#include "daemon/broker/record_codec.h"
#include "protocol/control/channels.h"

namespace sink::broker {
namespace {

using protocol::ControlOutcome;
using protocol::ErrorCode;
using protocol::MissingReason;
using protocol::SeekFrom;

constexpr size_t kGlobCost = 16;  // of trying one, in bytes that might have been read

ControlOutcome trimmed(Position earliest) {
  return {ErrorCode::trimmed,
          "what lies behind that position is no longer retained; the earliest there is begins "
          "with " + std::to_string(earliest),
          earliest};
}

}  // namespace

bool EventFilter::matches(std::string_view source, const protocol::EventView& event) const {
  if (event.event_type_id == protocol::kChannelEventType) return false;  // between its two ends
  return contains(event_types, event.event_type_id) && glob_match_any(sources, source) &&
         glob_match_any(keys, event.key);
}

// Where every event that was ever written is still there, from the oldest segment on.
Position LogCursors::complete_from() const {
  return core_.log.index().complete_from(core_.log.synced_position());
}

tl::expected<Position, ControlOutcome> LogCursors::begin_of(const protocol::Seek& request) const {
  const Position end = core_.log.synced_position();
  const Position earliest = complete_from();
  switch (request.from) {
    case SeekFrom::position:
      if (request.position >= end)
        return tl::unexpected(ControlOutcome{
            ErrorCode::invalid, "the log has no such position; it ends with " +
                                    std::to_string(end - 1)});
      if (request.position + 1 < earliest) return tl::unexpected(trimmed(earliest));
      return request.position + 1;
    case SeekFrom::earliest: return earliest;
    case SeekFrom::time: return core_.log.index().since(request.time_ms, earliest, end);
    case SeekFrom::end: return end;
  }
  return tl::unexpected(ControlOutcome{ErrorCode::invalid, "this server does not know that place"});
}

void LogCursors::seek(ConnectionId connection, uint16_t message_id, const protocol::Seek& request,
                      EventFilter filter) {
  if (readings_.count(connection) != 0)
    return on_done(connection, message_id,
                   {ErrorCode::too_many, "a connection reads one page at a time"});
  const auto begin = begin_of(request);
  if (!begin) return on_done(connection, message_id, begin.error());
  Reading& reading = readings_[connection];
  reading.message_id = message_id;
  reading.filter = std::move(filter);
  reading.bytes_max = request.bytes_max == 0
                          ? protocol::kPageBytesMax
                          : std::min(request.bytes_max, protocol::kPageBytesMax);
  reading.next = *begin;
  reading.wait_until_ms =
      core_.now.monotonic_ms + std::min(request.wait_ms, protocol::kSeekWaitMsMax);
  make_due(connection, reading);
}

void LogCursors::make_due(ConnectionId connection, Reading& reading) {
  if (!std::exchange(reading.due, true)) due_.push_back(connection);
}

void LogCursors::on_committed() {
  for (const auto& [until_ms, connection] : waiting_)
    make_due(connection, readings_.at(connection));
}

bool LogCursors::run() {
  for (int budget = kReadersPerTurn; budget > 0 && !due_.empty();) {
    const ConnectionId connection = due_.front();
    due_.pop_front();
    const auto found = readings_.find(connection);
    if (found == readings_.end() || !found->second.due) continue;  // of an earlier question
    Reading& reading = found->second;
    reading.due = false;
    waiting_.erase({reading.wait_until_ms, connection});
    advance(connection, reading);
    --budget;
  }
  while (!waiting_.empty() && waiting_.begin()->first <= core_.now.monotonic_ms) {
    const ConnectionId connection = waiting_.begin()->second;
    finish(connection, readings_.at(connection));
  }
  return !due_.empty();
}

std::optional<uint64_t> LogCursors::deadline_ms() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.begin()->first;
}

void LogCursors::forget(ConnectionId connection) {
  const auto found = readings_.find(connection);
  if (found == readings_.end()) return;
  waiting_.erase({found->second.wait_until_ms, connection});
  readings_.erase(found);
}

void LogCursors::advance(ConnectionId connection, Reading& reading) {
  const Position end = core_.log.synced_position();
  const Position earliest = complete_from();
  const auto is_empty = [&] {
    return reading.page.events.empty() && reading.page.missing.empty();
  };
  if (reading.next < earliest)
    return is_empty() ? answer(connection, trimmed(earliest)) : finish(connection, reading);
  for (;;) {
    const Position placed =
        std::min(core_.log.index().next_placed(reading.next).value_or(end), end);
    if (!pass_over(reading, placed)) return finish(connection, reading);
    if (placed == end) break;
    if (reading.scanned_bytes >= kScanBytesMax) return finish(connection, reading);
    const auto record = core_.cache.find(placed);
    if (!record) return submit(connection, reading);
    reading.scanned_bytes += record->size();
    if (!take_event(reading, placed, *record)) return finish(connection, reading);
  }
  if (!is_empty() || core_.now.monotonic_ms >= reading.wait_until_ms)
    return finish(connection, reading);
  waiting_.emplace(reading.wait_until_ms, connection);
}

void LogCursors::submit(ConnectionId connection, const Reading& reading) {
  ++core_.counters.blocks_read;
  const storage::Location place = *core_.log.index().locate(reading.next);
  core_.lanes.submit(Lane::read,
                     core_.log.read(reading.next, [this, connection, place](const auto& result) {
                       on_read(connection, place, result);
                     }));
}

void LogCursors::on_read(ConnectionId connection, const storage::Location& place,
                         const storage::EventLog::ReadResult& result) {
  const auto found = readings_.find(connection);
  if (found == readings_.end()) return;  // it has gone away
  Reading& reading = found->second;
  if (!result) {
    ++core_.counters.reads_failed;
    return answer(connection, {ErrorCode::unavailable,
                               "the server's disk does not answer just now; ask again"});
  }
  reading.scanned_bytes += place.bytes;
  bool room = true;
  const auto now = core_.log.index().locate(reading.next);
  if (!now || now->segment != place.segment) {
    // It has moved, or was removed, and nobody knows its time any more: advance() sees which.
  } else if (*result) {
    room = take_block(reading, **result, place.end);
  } else {
    core_.log.suspect(reading.next);
    room = miss(reading, place.end, MissingReason::damaged);
  }
  room ? advance(connection, reading) : finish(connection, reading);
}

// Positions that have no event: never written, or lost in a gap that recovery or the scrub found.
bool LogCursors::pass_over(Reading& reading, Position end) {
  if (end <= reading.next) return true;
  std::vector<std::pair<Position, Position>> lost;
  for (const storage::Gap& gap : core_.log.gaps()) {
    const Position first = std::max(gap.first_position, reading.next);
    const Position behind = std::min(gap.end_position, end);
    if (first < behind) lost.emplace_back(first, behind);
  }
  std::sort(lost.begin(), lost.end());
  for (const auto& [first, behind] : lost) {
    reading.next = std::max(reading.next, first);
    if (!miss(reading, behind, MissingReason::damaged)) return false;
  }
  reading.next = end;
  return true;
}

bool LogCursors::take_event(Reading& reading, Position position, std::string_view bytes) {
  if (!pass_over(reading, position)) return false;
  const auto record = decode_event_record(bytes);
  const auto event = record ? protocol::decode_event(record->payload)
                            : tl::expected<protocol::EventView, protocol::DecodeError>(
                                  tl::unexpect, protocol::DecodeError::truncated);
  if (!event) return miss(reading, position + 1, MissingReason::damaged);
  const Client* source = core_.state.clients.find(record->source);
  const std::string_view name = source == nullptr ? std::string_view() : source->client_id;
  const size_t globs = reading.filter.sources.size() + reading.filter.keys.size();
  reading.scanned_bytes += globs * (kGlobCost + name.size() + event->key.size());
  if (reading.filter.matches(name, *event)) {
    std::string& events = reading.page.events;
    const auto time = core_.log.time_of(position);
    // unreached: only what lies in a range of the index is looked at, and the range has its time
    const protocol::PagedEvent paged{position, time ? time->wall_ms : 0, name, record->payload};
    const size_t size = protocol::paged_event_bytes_max(paged);
    if (size > protocol::kPageBytesMax)
      return miss(reading, position + 1, MissingReason::too_large);
    if (!events.empty() && events.size() + size > reading.bytes_max) return false;
    protocol::append_paged_event(events, paged);
    ++core_.counters.events_paged;
  }
  reading.next = position + 1;
  return true;
}

bool LogCursors::take_block(Reading& reading, const Block& block, Position end) {
  for (const storage::EventSlot& slot : block.slots) {
    if (slot.position < reading.next) continue;
    if (slot.position >= end) break;  // unreached: a piece holds its own positions
    if (reading.scanned_bytes >= 2 * kScanBytesMax) return false;  // costly globs
    if (!block.whole && slot.position > reading.next &&
        !miss(reading, slot.position, MissingReason::damaged))
      return false;
    const auto record = std::string_view(block.bytes).substr(slot.at, slot.bytes);
    if (!take_event(reading, slot.position, record)) return false;
  }
  if (!block.whole && reading.next < end) return miss(reading, end, MissingReason::damaged);
  return pass_over(reading, end);
}

// From `next` up to `end`.
bool LogCursors::miss(Reading& reading, Position end, MissingReason reason) {
  if (end <= reading.next) return true;
  auto& missing = reading.page.missing;
  if (!missing.empty() && missing.back().end == reading.next && missing.back().reason == reason) {
    missing.back().end = end;
  } else if (missing.size() == protocol::kPageMissingMax) {
    return false;
  } else {
    missing.push_back({reading.next, end, reason});
  }
  reading.next = end;
  return true;
}

void LogCursors::finish(ConnectionId connection, Reading& reading) {
  ControlOutcome outcome;
  outcome.page = std::move(reading.page);
  outcome.page->position = reading.next - 1;
  outcome.page->end = core_.log.synced_position();
  ++core_.counters.pages_sent;
  answer(connection, outcome);
}

void LogCursors::answer(ConnectionId connection, const ControlOutcome& outcome) {
  const uint16_t message_id = readings_.at(connection).message_id;
  forget(connection);
  on_done(connection, message_id, outcome);
}

}  // namespace sink::broker

#include "tools/sinkctl/log_reader.h"

#include "tools/sinkctl/conversation.h"
#include "tools/sinkctl/printed_event.h"
#include "tools/sinkctl/text_forms.h"

namespace sink::tools {
namespace {

constexpr uint32_t kWaitMs = 20'000;  // for the next event, before it is asked for again
constexpr uint64_t kAgainMs = 1'000;  // after the server's disk has not answered

}  // namespace

LogReader::LogReader(Context& context, DeviceSetup setup, LogReaderOptions options)
    : DeviceSession(context, std::move(setup), {options.wait_ms, std::nullopt}),
      options_(std::move(options)),
      next_(options_.begin),
      again_(loop_, [this] { if (connected_) ask(); }),
      idle_(loop_, [this] { finish(ExitStatus::ok); }) {
  if (!options_.until_end) next_.wait_ms = kWaitMs;
}

ExitStatus LogReader::read() {
  const ExitStatus status = run();
  say(context_, std::to_string(events_) + " events read" +
                    (position_ > 0 ? "; go on with --from " + std::to_string(position_) : ""));
  return status;
}

void LogReader::on_connection() {
  connected_ = true;
  again_.stop();
  ask();
}

void LogReader::restart_idle() {
  if (options_.idle_exit_ms > 0) idle_.start(options_.idle_exit_ms, 0);
}

void LogReader::ask() {
  if (finished()) return;
  protocol::Seek seek = next_;
  // The end is a place only once the server has said where it is: it is asked at once.
  if (seek.from == protocol::SeekFrom::end) seek.wait_ms = 0;
  if (!connection_->request(seek, 0))
    finish({ExitStatus::unavailable, "the server speaks version 0 of the protocol only",
            "reading from a place needs version 1"});
}

void LogReader::on_reply(const client::Reply& reply) {
  if (finished() || reply.outcome == nullptr) return;  // asked again once it is connected again
  if (!reply.outcome->page) return refused(*reply.outcome);
  take(*reply.outcome->page);
}

void LogReader::refused(const protocol::ControlOutcome& outcome) {
  using protocol::ErrorCode;
  if (outcome.code == ErrorCode::unavailable) return again_.start(kAgainMs, 0);
  const std::string what = "the server does not give that: " + terminal_safe(outcome.text);
  switch (outcome.code) {
    case ErrorCode::trimmed:
      return finish({ExitStatus::invalid, what,
                     "to read what there is: --from " + std::to_string(outcome.earliest - 1)});
    case ErrorCode::not_allowed:
      return finish({ExitStatus::not_permitted, what,
                     "the server needs a [[client_policy]] with seek = true for this client"});
    case ErrorCode::unknown_kind:
      return finish({ExitStatus::unavailable, what, "it is too old to be read from a place"});
    default: return finish({ExitStatus::invalid, what, ""});
  }
}

void LogReader::take(const protocol::LogPage& page) {
  const auto events = protocol::decode_paged_events(page.events).value();  // decoded once already
  auto missing = page.missing.begin();
  for (const protocol::PagedEvent& paged : events) {
    for (; missing != page.missing.end() && missing->first < paged.position; ++missing)
      tell(*missing);
    if (!print(paged))
      return finish({ExitStatus::invalid, "the server broke the protocol: the event at position " +
                                              std::to_string(paged.position) + " cannot be read",
                     ""});
    ++events_;
    position_ = paged.position;
    if (full()) break;
  }
  context_.out.flush();
  if (!context_.out.good())
    return finish({ExitStatus::internal, "cannot write to the standard output", ""});
  if (full()) return finish(ExitStatus::ok);
  for (; missing != page.missing.end(); ++missing) tell(*missing);
  position_ = page.position;
  if (options_.until_end && page.position + 1 >= page.end) return finish(ExitStatus::ok);
  if (!events.empty()) restart_idle();
  next_.from = protocol::SeekFrom::position;
  next_.position = page.position;
  ask();
}

bool LogReader::print(const protocol::PagedEvent& paged) {
  const auto event = protocol::decode_event(paged.payload);
  if (!event) return false;
  if (options_.json) {
    Json row = event_json(*event);
    row["position"] = paged.position;
    row["source"] = std::string(paged.source);
    row["accepted"] = rfc3339(paged.accepted_ms);
    print_line(context_.out, row);
  } else {
    context_.out << paged.position << "  " << rfc3339(paged.accepted_ms) << "  "
                 << readable_key(paged.source) << "  " << event_line(*event) << '\n';
  }
  return true;
}

void LogReader::tell(const protocol::MissingEvents& missing) {
  const char* reason = missing.reason == protocol::MissingReason::too_large
                           ? "too large for a page: subscribe to get them"
                           : "damaged on the server's disk";
  const std::string which = missing.end == missing.first + 1
                                ? "position " + std::to_string(missing.first)
                                : "positions " + std::to_string(missing.first) + " to " +
                                      std::to_string(missing.end - 1);
  context_.err << "sinkctl: missing: " << which << ": " << reason << '\n';
}

}  // namespace sink::tools

#include "daemon/broker/dials.h"

#include <algorithm>
#include <utility>

#include "daemon/broker/sessions.h"

namespace sink::broker {
namespace {

constexpr uint64_t kQuarantinedRetryMs = 30'000;  // whether it has been released

using protocol::GoodbyeReason;

// What a client's last word means for the next call.
DialState after(std::optional<GoodbyeReason> goodbye) {
  switch (goodbye.value_or(GoodbyeReason::none)) {
    case GoodbyeReason::another_server:
      return DialState::resting;
    case GoodbyeReason::shutdown:
    case GoodbyeReason::user_request:
      return DialState::stopped;
    case GoodbyeReason::none:
    case GoodbyeReason::restart:
    case GoodbyeReason::taken_over:
    case GoodbyeReason::quarantined:
    case GoodbyeReason::silent:
      break;
  }
  return DialState::waiting;
}

}  // namespace

bool has_undelivered(const Client& client) {
  return std::any_of(client.trackers.begin(), client.trackers.end(), [](const Tracker* tracker) {
    return !tracker->paused() && tracker->unsettled() > tracker->quarantined.size();
  });
}

std::vector<std::string> Dials::configure(const std::vector<DialSpec>& specs, Caller* caller) {
  caller_ = caller;
  std::vector<std::string> changes;
  std::erase_if(dials_, [&](const auto& dial) {
    const bool listed = std::any_of(specs.begin(), specs.end(), [&](const DialSpec& spec) {
      return spec.client == dial->spec.client;
    });
    if (!listed) changes.push_back("client " + dial->spec.client + " is no longer called");
    return !listed;
  });
  for (const DialSpec& spec : specs) {
    Dial* known = find(spec.client);
    if (known != nullptr && known->spec == spec) continue;
    changes.push_back("client " + spec.client + " is called at " + spec.address);
    if (known == nullptr)
      known = dials_.insert(place_of(spec.client), std::make_unique<Dial>())->get();
    known->spec = spec;
    known->backoff = {};
    known->due_ms = core_.now.monotonic_ms;
    const Client* client = core_.state.clients.find(spec.client);
    const bool here = client != nullptr && client->links.first_connected();
    known->state = here ? DialState::connected : DialState::waiting;
  }
  return changes;
}

std::vector<std::unique_ptr<Dial>>::iterator Dials::place_of(std::string_view client) {
  return std::lower_bound(
      dials_.begin(), dials_.end(), client,
      [](const auto& dial, std::string_view name) { return dial->spec.client < name; });
}

Dial* Dials::find(std::string_view client) {
  const auto at = place_of(client);
  return at == dials_.end() || (*at)->spec.client != client ? nullptr : at->get();
}

// A store that has failed could not take what a client brings.
bool Dials::may_call() const {
  return !core_.draining && caller_ != nullptr && !core_.log.failed();
}

void Dials::run_due() {
  const bool look_again = std::exchange(core_.absent_client_has_events, false);
  if (!may_call()) return;
  for (const auto& dial : dials_) {
    if (dial->under_way || dial->due_ms > core_.now.monotonic_ms) continue;
    if (dial->state == DialState::waiting) call(*dial);
    if (dial->state != DialState::resting || (dial->looked && !look_again)) continue;
    const Client* client = core_.state.clients.find(dial->spec.client);
    dial->looked = true;
    // Was it forgotten, what comes may be for it: its subscriptions wait for another of its name.
    if (client == nullptr || has_undelivered(*client)) call(*dial);
  }
}

std::optional<uint64_t> Dials::deadline_ms() const {
  std::optional<uint64_t> deadline;
  if (!may_call()) return deadline;
  for (const auto& dial : dials_) {
    const bool due = dial->state == DialState::waiting ||
                     (dial->state == DialState::resting && !dial->looked);
    if (due && !dial->under_way)
      deadline = std::min(deadline.value_or(UINT64_MAX), dial->due_ms);
  }
  return deadline;
}

void Dials::call(Dial& dial) {
  Client* client = core_.state.clients.find(dial.spec.client);
  if (client != nullptr && sessions_.is_quarantined(*client)) {
    note_error(dial, "the client is in quarantine");
    dial.looked = false;  // what was found for it waits on
    dial.due_ms = core_.now.monotonic_ms + kQuarantinedRetryMs;
    return;
  }
  dial.state = DialState::calling;
  dial.under_way = true;
  ++dial.calls;
  ++core_.counters.calls_made;
  caller_->call(dial.spec);
}

void Dials::call_ended(std::string_view client, std::string reason) {
  Dial* dial = find(client);
  if (dial == nullptr) return;
  dial->under_way = false;
  if (dial->state != DialState::calling) return;  // it was, or is, connected
  ++dial->failures;
  ++core_.counters.calls_failed;
  note_error(*dial, std::move(reason));
  wait(*dial, DialState::waiting);
}

void Dials::on_joined(const Client& client) {
  Dial* dial = find(client.client_id);
  if (dial == nullptr) return;
  dial->state = DialState::connected;
  dial->backoff.on_connected(core_.now.monotonic_ms);
}

void Dials::on_left(const Client& client, std::optional<GoodbyeReason> goodbye) {
  Dial* dial = find(client.client_id);
  if (dial == nullptr) return;
  wait(*dial, after(goodbye));
  if (dial->state == DialState::stopped)
    note_error(*dial, std::string("said goodbye: ") + protocol::to_string(*goodbye));
}

void Dials::wait(Dial& dial, DialState state) {
  dial.state = state;
  dial.looked = false;
  const uint64_t now_ms = core_.now.monotonic_ms;
  const auto random = static_cast<uint32_t>(core_.random(now_ms + dial.calls));
  dial.due_ms = now_ms + dial.backoff.next_delay_ms(now_ms, random).value_or(0);
}

bool Dials::call_now(Dial& dial) {
  if (dial.under_way || dial.state == DialState::connected) return false;
  dial.state = DialState::waiting;
  dial.due_ms = core_.now.monotonic_ms;
  return true;
}

void Dials::note_error(Dial& dial, std::string reason) {
  dial.last_error = std::move(reason);
  dial.last_error_ms = core_.now.wall_ms;
  core_.notice(Severity::notice, "dial_trouble", dial.spec.client, dial.last_error);
}

}  // namespace sink::broker

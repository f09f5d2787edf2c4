#include "test/simulation/referee.h"

#include <algorithm>

#include "protocol/batch.h"
#include "protocol/batch_refusals.h"

namespace sink::simulation {
namespace {

std::string key_name_of(const std::string& source, const protocol::EventView& event) {
  return source + "|" + std::to_string(event.event_type_id) + "|" + std::string(event.key);
}

std::string event_name(const std::string& key_name, uint64_t offset) {
  return key_name + "/" + std::to_string(offset);
}

}  // namespace

void Referee::violate(std::string text) {
  if (!violation_) violation_ = std::move(text);
}

// ---- what is configured ----------------------------------------------------------------------

void Referee::subscribe(const RefereedSubscription& subscription) {
  subscriptions_[subscription.name] = subscription;
  resubscribe(subscription.name);
}

void Referee::resubscribe(const std::string& name) {
  ++epoch_;
  active_.insert(name);
  make_optional(subscriptions_.at(name));
  for (auto& [event_name, event] : events_)
    if (!event.acked) owe(event);  // it may be accepted only now
}

void Referee::unsubscribe(const std::string& name) {
  ++epoch_;
  active_.erase(name);
  make_optional(subscriptions_.at(name));
}

// Events on their way in may be accepted before the change or after it.
void Referee::make_optional(const RefereedSubscription& subscription) {
  for (auto& [name, event] : events_) {
    if (event.acked) continue;
    for (auto& [tracker, must] : event.owed)
      if (tracker.starts_with(subscription.name + " ")) must = false;
  }
}

Referee::Tracker& Referee::tracker(const RefereedSubscription& subscription,
                                   const std::string& consumer) {
  Tracker& found = trackers_[subscription.name + " " + consumer];
  found.subscription = &subscriptions_.at(subscription.name);
  found.consumer = consumer;
  return found;
}

void Referee::owe(Event& event) {
  const bool certain = event.owed.empty() && event.epoch == epoch_;
  for (const std::string& name : active_) {
    const RefereedSubscription& subscription = subscriptions_.at(name);
    if (!subscription.wants(event.source, event.content)) continue;
    if (!subscription.is_template()) {
      event.owed.try_emplace(name + " " + subscription.consumer, certain);
      continue;
    }
    for (const std::string& client : seen_clients_)
      if (RefereedSubscription::matches(subscription.consumer, client))
        event.owed.try_emplace(name + " " + client, certain && known_clients_.count(client) != 0);
  }
}

// ---- what passes the gateway's door ------------------------------------------------------------

void Referee::on_input(ConnectionId id, protocol::Bytes bytes, bool held_back) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second.hostile) return;
  Connection& from = found->second;
  from.in.lend(bytes);
  for (;;) {
    const auto message = from.in.next();
    if (!message) from.hostile = true;
    if (!message || !*message) break;
    // Whether a request is good the gateway decides; we must see what a good one brings.
    if (const auto* request = std::get_if<protocol::ConnectionRequest>(&**message)) {
      from.in.accept();
      const auto greeting = protocol::decode_greeting(request->greeting);
      if (greeting) {
        from.asked = greeting->session;
        from.link = greeting->link;
        const auto parked = parked_.find(from.line());
        if (parked != parked_.end()) parked->second.asked_for = true;
      }
      from.out = protocol::Session(protocol::Role::client, from.in.version());
    } else if (const auto* answer = std::get_if<protocol::ConnectionResponse>(&**message)) {
      on_server_response(from, *answer);
    } else if (const auto* publish = std::get_if<protocol::Publish>(&**message)) {
      on_publish(from, *publish, held_back);
    } else if (const auto* deliver = std::get_if<protocol::Deliver>(&**message)) {
      on_publish(from, {deliver->message_id, deliver->event, deliver->payload}, held_back);
    } else if (const auto* batch = std::get_if<protocol::BatchFrame>(&**message)) {
      on_batch(from, *batch, held_back);
    } else if (const auto* control = std::get_if<protocol::Control>(&**message)) {
      on_control(from, *control, held_back);
    } else if (const auto* ack = std::get_if<protocol::Ack>(&**message)) {
      on_answer(from, ack->message_id, nullptr, held_back);
    } else if (const auto* nack = std::get_if<protocol::Nack>(&**message)) {
      on_answer(from, nack->message_id, nack, held_back);
    }
  }
  from.in.settle();
}

void Referee::on_output(ConnectionId id, protocol::Bytes bytes, Moment since) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return violate("bytes for a connection that is closed");
  Connection& to = found->second;
  to.out.lend(bytes);
  for (;;) {
    const auto message = to.out.next();
    if (!message) return violate("I9: the gateway breaks the protocol towards " + to.identity);
    if (!*message) break;
    if (const auto* answer = std::get_if<protocol::ConnectionResponse>(&**message)) {
      on_response(to, *answer);
    } else if (const auto* request = std::get_if<protocol::ConnectionRequest>(&**message)) {
      to.in = protocol::Session(protocol::Role::client, request->protocol_version);
      const auto greeting = protocol::decode_greeting(request->greeting);
      if (greeting) {
        to.asked = greeting->session;
        to.link = greeting->link;
      }
      end_other_lines(to);
    } else if (const auto* publish = std::get_if<protocol::Publish>(&**message)) {
      judge_id(to, publish->message_id);
      on_delivery(to, {publish->message_id, 0}, publish->event, since);
    } else if (const auto* batch = std::get_if<protocol::BatchFrame>(&**message)) {
      on_forwarded_batch(to, *batch, since);
    } else if (const auto* deliver = std::get_if<protocol::Deliver>(&**message)) {
      on_deliver(to, *deliver, since);
    } else if (const auto* ack = std::get_if<protocol::Ack>(&**message)) {
      on_publish_answer(to, ack->message_id, nullptr);
    } else if (const auto* nack = std::get_if<protocol::Nack>(&**message)) {
      on_publish_answer(to, nack->message_id, nack);
    }
  }
  to.out.settle();
}

// ---- publishers ------------------------------------------------------------------------------

Referee::Event* Referee::find(const std::string& source, const protocol::EventView& event) {
  const auto found = events_.find(event_name(key_name_of(source, event), event.offset));
  return found == events_.end() ? nullptr : &found->second;
}

void Referee::on_publish(Connection& from, const protocol::Publish& publish, bool held_back) {
  Dialogue& dialogue = *from.dialogue;
  from.reuses_ids |= dialogue.published.count(publish.message_id) != 0;
  dialogue.published[publish.message_id] = {{on_event(from, publish.event)}, false};
  dialogue.arrivals.push_back(publish.message_id);
  dialogue.held_back |= held_back;
}

void Referee::on_batch(Connection& from, const protocol::BatchFrame& batch, bool held_back) {
  Dialogue& dialogue = *from.dialogue;
  Publication& publication = dialogue.published[batch.message_id] = {{}, true};
  const auto events = protocol::decode_batch(batch.batch);
  if (events)
    for (const protocol::Event& event : *events)
      publication.events.push_back(on_event(from, event.view()));
  dialogue.arrivals.push_back(batch.message_id);
  dialogue.held_back |= held_back;
}

// A channel's messages are judged by its ends (ChannelOracle): they have no name here.
std::string Referee::on_event(Connection& from, const protocol::EventView& content) {
  if (content.event_type_id == protocol::kChannelEventType) return {};
  const std::string key_name = key_name_of(from.identity, content);
  std::string name = event_name(key_name, content.offset);
  Progress& progress = progress_[key_name];
  auto [at, is_new] = events_.try_emplace(name);
  Event& event = at->second;
  if (is_new) {
    ++tally_.published;
    event.source = from.identity;
    event.key_name = key_name;
    event.content = protocol::own(content);
    event.index = ++progress.next_index;
    event.epoch = epoch_;
    event.seen_ms = now_ms_;
    event.seen_in_life = deaths_;
    event.must_refuse = progress.any_acked && content.offset < progress.acked_offset;
  }
  if (progress.any_seen && content.offset < progress.seen_offset) event.may_refuse = true;
  progress.seen_offset = std::max(progress.seen_offset, content.offset);
  progress.any_seen = true;
  // What lingered and was settled is forgotten with the process: it may be accepted anew.
  const bool forgotten = lingers_ && event.seen_in_life != deaths_;
  if (!event.acked || forgotten) owe(event);
  return name;
}

// A batch is refused event by event: of each the index and a reason.
void Referee::on_publish_answer(Connection& to, uint16_t id, const protocol::Nack* nack) {
  auto& published = to.dialogue->published;
  const auto found = published.find(id);
  if (to.reuses_ids) return;
  if (found == published.end())
    return violate("an answer to a message id that " + to.identity + " has not sent");
  const Publication& publication = found->second;
  std::optional<std::map<uint64_t, char>> refused(std::in_place);
  if (nack != nullptr && publication.batch)
    refused = protocol::decode_refusals(nack->machine, publication.events.size());
  else if (nack != nullptr)
    refused->emplace(0, '\0');
  if (!refused) return violate("a batch is refused in words that nobody understands");
  for (size_t i = 0; i < publication.events.size(); ++i) {
    if (publication.events[i].empty()) continue;
    trace_.note(now_ms_, refused->count(i) == 0 ? "safe" : "refused", id, publication.events[i]);
    judge_answer(publication.events[i], refused->count(i) == 0);
  }
  to.dialogue->answered[id] = publication;
  published.erase(found);
}

void Referee::judge_answer(const std::string& name, bool ack) {
  Event& event = events_.at(name);
  if (ack) {
    ++tally_.acked;
    if (event.must_refuse && !event.owed.empty() && !rotten_)
      violate("P5: " + name + " is ACKed behind a higher offset of its key");
    if (!event.acked) judge_end_to_end(event, name);
    event.acked = true;
    Progress& progress = progress_[event.key_name];
    if (!event.old_history && !event.owed.empty()) {  // of unrouted events nothing is kept
      progress.acked_offset = std::max(progress.acked_offset, event.content.offset);
      progress.any_acked = true;
    }
    return;
  }
  ++tally_.refused;
  // What everyone settled within the linger was never written: a crash forgets that it was there.
  const bool forgotten = lingers_ && deaths_ > 0;
  if (event.acked && !rotten_ && !forgotten)
    violate("P4: " + name + " is refused after it was ACKed");
  if (!event.may_refuse && !event.must_refuse && !may_be_full_ && !rotten_)
    violate("P5: " + name + " is refused without a reason");
}

// Only an answer, or the lack of one for long enough, lets a subscription be done with an event.
void Referee::judge_end_to_end(const Event& event, const std::string& name) {
  if (rotten_) return;
  for (const auto& [tracker_name, must] : event.owed) {
    const auto to = trackers_.find(tracker_name);
    const RefereedSubscription& subscription =
        subscriptions_.at(tracker_name.substr(0, tracker_name.find(' ')));
    if (!must || !subscription.ack_settled) continue;
    const bool answered = to != trackers_.end() && (to->second.answered.count(name) != 0 ||
                                                    is_settled(to->second, name));
    const bool overdue = now_ms_ >= event.seen_ms + subscription.ack_timeout_ms;
    if (!answered && !overdue)
      violate("P1: " + name + " is ACKed, and " + tracker_name + " has not answered it");
  }
}

void Referee::on_new_history(const std::string& client) {
  for (auto& [name, event] : events_)
    if (event.source == client) {
      event.old_history = true;
      if (!event.acked)
        for (auto& [tracker, must] : event.owed) must = false;
    }
  for (auto& [key_name, progress] : progress_)
    if (key_name.starts_with(client + "|"))
      progress.any_acked = progress.any_seen = false, progress.acked_offset =
          progress.seen_offset = 0;
}

// ---- consumers -------------------------------------------------------------------------------

bool Referee::timed_out(const Tracker& tracker, uint64_t since_ms) const {
  return now_ms_ >= since_ms + tracker.subscription->ack_timeout_ms;
}

// A message of its own, under an id that is not live.
void Referee::judge_id(Connection& to, uint16_t id) {
  Dialogue& dialogue = *to.dialogue;
  ++dialogue.sent;
  const auto live = dialogue.flights.lower_bound({id, 0});
  if (live != dialogue.flights.end() && live->first.first == id)
    violate("S6: a live message id is used again towards " + to.identity);
}

void Referee::on_forwarded_batch(Connection& to, const protocol::BatchFrame& batch,
                                 Moment since) {
  const auto events = protocol::decode_batch(batch.batch);
  if (!events || !to.dialled) return violate("a batch that " + to.identity + " cannot take");
  judge_id(to, batch.message_id);
  for (size_t i = 0; i < events->size(); ++i)
    on_delivery(to, {batch.message_id, i}, (*events)[i].view(), since);
}

// What a version 0 consumer sees is "subscription|source|key".
void Referee::on_delivery(Connection& to, FlightId id, const protocol::EventView& shown_event,
                          Moment since) {
  const std::string shown(shown_event.key);
  const size_t first = shown.find('|'), second = shown.find('|', first + 1);
  if (second == std::string::npos) return violate("B1: a key that nobody made: " + shown);
  protocol::Event content = protocol::own(shown_event);
  content.key = shown.substr(second + 1);
  const std::string source = shown.substr(first + 1, second - first - 1);
  if (source == "?" && rotten_) return;  // who published it has rotted away, as the gateway says
  const Event* event = find(source, content.view());
  const auto subscription = subscriptions_.find(shown.substr(0, first));
  if (event == nullptr || subscription == subscriptions_.end() || !(event->content == content))
    return violate("B1: " + to.identity + " gets an event that nobody published: " + shown + "/" +
                   std::to_string(content.offset) + (event == nullptr ? "" : ", other content"));
  const std::string name = event_name(event->key_name, content.offset);
  const std::string tracker_name = subscription->first + " " + to.identity;
  if (event->owed.count(tracker_name) == 0 && !rotten_)  // the record of a change may have rotted
    return violate("I2: " + tracker_name + " does not match " + name);
  Dialogue& dialogue = *to.dialogue;
  ++tally_.deliveries;
  trace_.note(now_ms_, "delivered", id.first, tracker_name + " " + name);
  Tracker& tracker = this->tracker(subscription->second, to.identity);
  if (to.fenced) {
    tracker.delivered.insert(name);
    const auto parked = parked_.find(to.line());
    if (parked == parked_.end() || parked->second.dialogue != to.dialogue) return;
  } else {
    judge_delivery(tracker_name, tracker, *event, name, since);
  }
  const bool late = to.fenced && timed_out(tracker, since.ms);
  if (!late) tracker.in_flight[name] = {dialogue.number, since.ms};
  dialogue.flights[id] = {tracker_name, name, since.ms, dialogue.sent, late};
  if (tracker.in_flight.size() > tracker.subscription->window) {
    // Those that have timed out, or whose session is over, no longer count towards the window.
    size_t live = 0;
    for (const auto& [flown, flight] : tracker.in_flight)
      live += timed_out(tracker, flight.second) || is_over(flight.first) ? 0 : 1;
    if (live > tracker.subscription->window) violate("S6: in flight beyond the window");
  }
}

void Referee::on_deliver(Connection& to, const protocol::Deliver& deliver, Moment since) {
  if (deliver.event.event_type_id == protocol::kChannelEventType)
    return judge_id(to, deliver.message_id);
  const std::string front =
      std::string(deliver.subscription) + "|" + std::string(deliver.source) + "|";
  if (!deliver.event.key.starts_with(front) && !rotten_)
    violate("B1: " + to.identity + " is told " + front + " of " + std::string(deliver.event.key));
  judge_id(to, deliver.message_id);
  on_delivery(to, {deliver.message_id, 0}, deliver.event, since);
}

void Referee::judge_delivery(const std::string& tracker_name, Tracker& to, const Event& event,
                             const std::string& name, Moment since) {
  const bool first = to.delivered.insert(name).second;
  if (!first) ++tally_.repeats;
  if (rotten_) return;
  const auto flight = to.in_flight.find(name);
  const bool over = flight != to.in_flight.end() && is_over(flight->second.first);
  if (flight != to.in_flight.end() && !over && !timed_out(to, flight->second.second))
    return violate("D1: " + name + " is sent twice to " + tracker_name + " without a cause");
  if (flight != to.in_flight.end() && !over) count_failure(to, event, name);
  if (to.settled.count(name) != 0)
    return violate("S1: " + name + " comes again to " + tracker_name + " after its ACK");
  if (to.settled_before.count(name) != 0 && to.settled_late.count(name) == 0) {
    to.repeated.insert(name);
    if (!lingers_ && to.repeated.size() > to.subscription->window * deaths_)
      return violate("D2: more than a window's worth comes twice to " + tracker_name);
  }
  if (first && !to.subscription->newest_first) {
    auto& [newest, newest_offset] = to.newest[event.key_name];
    const bool seen_lately = !may_be_unseen(to.consumer, event.seen_ms);
    // What lingers is forgotten with the process; published again it may match what has come since.
    // That an event had expired may be forgotten, too.
    const bool forgetful = lingers_ || to.subscription->expire_after_ms != 0;
    const bool kept = !forgetful || event.seen_in_life == deaths_;
    // Refused for want of room, it may be accepted behind one that goes back and came later.
    const bool behind = event.index <= newest && event.content.offset <= newest_offset;
    if (behind && seen_lately && kept)
      return violate("O2: " + name + " comes to " + tracker_name + " behind a later one");
    newest = std::max(newest, event.index);
    newest_offset = event.content.offset;
  }
  if (!to.subscription->ordered) return;
  std::string blocker;
  if (key_is_held(to, event, since, blocker))
    violate("I3: " + name + " is sent to " + tracker_name + " before " + blocker +
            " is resolved");
}

// An older event of the key was refused, and nothing has resolved it that we know of.
bool Referee::key_is_held(Tracker& to, const Event& event, Moment since, std::string& blocker) {
  auto& refused = to.refused[event.key_name];
  for (auto at = refused.begin(); at != refused.end() && at->first < event.index;) {
    blocker = at->second.event;
    const auto flight = to.in_flight.find(blocker);
    const bool late = flight != to.in_flight.end() && timed_out(to, flight->second.second);
    const uint32_t most = to.subscription->attempts_max;
    const uint64_t expires = to.subscription->expire_after_ms;
    const bool expired = expires != 0 && now_ms_ >= events_.at(blocker).seen_ms + expires;
    // Deliveries that never left may have been attempts that failed.
    const uint64_t seen_ms = events_.at(blocker).seen_ms;
    const bool unseen = may_be_unseen(to.consumer, seen_ms) || seen_ms <= stopped_ms_;
    const bool given_up = most != 0 && (unseen || to.failures[blocker] + (late ? 1 : 0) >= most);
    if (expired || given_up) {  // perhaps it is in quarantine
      at = refused.erase(at);
      continue;
    }
    // What was made before the refusal came may still leave.
    if (since.order > at->second.order) return true;
    ++at;
  }
  return false;
}

void Referee::resolve(Tracker& tracker, const Event& event) {
  tracker.refused[event.key_name].erase(event.index);
}

// After that many failures the event may be in quarantine, and its key may go on.
void Referee::count_failure(Tracker& tracker, const Event& event, const std::string& name) {
  const uint32_t failures = ++tracker.failures[name];
  if (tracker.subscription->attempts_max != 0 && failures >= tracker.subscription->attempts_max)
    resolve(tracker, event);
}

void Referee::on_answer(Connection& from, uint16_t id, const protocol::Nack* nack,
                        bool held_back) {
  if (from.fenced) return;
  auto& flights = from.dialogue->flights;
  std::vector<Flight> answered;  // none: unknown, and must change nothing (S2)
  for (auto at = flights.lower_bound({id, 0}); at != flights.end() && at->first.first == id;
       at = flights.erase(at))
    answered.push_back(at->second);
  std::optional<std::map<uint64_t, char>> row;
  if (nack != nullptr && answered.size() > 1)
    row = protocol::decode_refusals(nack->machine, answered.size());
  for (size_t i = 0; i < answered.size(); ++i) {
    std::optional<char> refused;
    if (row && row->count(i) != 0) refused = row->at(i);
    if (nack != nullptr && !row) refused = nack->machine.empty() ? '\0' : nack->machine[0];
    judge_consumer(answered[i], refused, held_back);
  }
}

void Referee::judge_consumer(const Flight& flight, std::optional<char> refused, bool held_back) {
  ++tally_.answers;
  Tracker& to = trackers_.at(flight.tracker);
  const Event& event = events_.at(flight.event);
  const bool certain = !held_back && !timed_out(to, flight.since_ms);
  auto what = Refused::held;
  if (refused && machines_.count(*refused) != 0) what = machines_[*refused];
  to.answered.insert(flight.event);
  to.in_flight.erase(flight.event);
  if (timed_out(to, flight.since_ms)) ++to.failures[flight.event];
  trace_.note(now_ms_, !refused ? "acked" : "nacked", certain ? 1 : 0,
              flight.tracker + " " + flight.event);
  if (!refused || what == Refused::settled) {
    // A late answer settles the event or is ignored; if it is ignored the event may come again.
    (certain ? to.settled : to.settled_late).insert(flight.event);
    return resolve(to, event);
  }
  if (what == Refused::key_goes_on) resolve(to, event);
  if (what == Refused::held && certain)
    to.refused[event.key_name][event.index] = {flight.event, next_moment().order};
  count_failure(to, event, flight.event);
}

// ---- operators -------------------------------------------------------------------------------

void Referee::on_dropped(const std::string& subscription, const std::string& consumer,
                         const std::string& source, const protocol::Event& content) {
  const Event* event = find(source, content.view());
  if (event == nullptr) return violate("an operator saw an event that nobody published");
  Tracker& to = tracker(subscriptions_.at(subscription), consumer);
  resolve(to, *event);
  const std::string name = event_name(event->key_name, content.offset);
  trace_.note(now_ms_, "dropped", 0, subscription + " " + consumer + " " + name);
  to.settled_late.insert(name);  // a copy made before may still leave, or a crash forget the drop
}

void Referee::on_released(const std::string& subscription, const std::string& consumer,
                          const std::string& source, const protocol::Event& content) {
  const Event* event = find(source, content.view());
  if (event == nullptr) return violate("an operator saw an event that nobody published");
  const std::string name = event_name(event->key_name, content.offset);
  trace_.note(now_ms_, "released", 0, subscription + " " + consumer + " " + name);
  Tracker& to = tracker(subscriptions_.at(subscription), consumer);
  to.failures.erase(name);
  // It may have been in quarantine for its failures, and its key have gone on meanwhile.
  if (to.subscription->attempts_max != 0) resolve(to, *event);
}

// ---- judgement -------------------------------------------------------------------------------

bool Referee::is_settled(const Tracker& tracker, const std::string& name) {
  return tracker.settled.count(name) != 0 || tracker.settled_before.count(name) != 0 ||
         tracker.settled_late.count(name) != 0;
}

bool Referee::owes() const {
  for (const auto& [name, event] : events_) {
    if (!event.acked) continue;
    for (const auto& [tracker_name, must] : event.owed) {
      const auto to = trackers_.find(tracker_name);
      if (must && (to == trackers_.end() || !is_settled(to->second, name))) return true;
    }
  }
  return false;
}

void Referee::check_complete(uint64_t unreadable) {
  uint64_t missing = 0;
  std::string example;
  for (const auto& [name, event] : events_) {
    if (!event.acked) continue;
    for (const auto& [tracker_name, must] : event.owed) {
      if (!must) continue;
      const auto at = trackers_.find(tracker_name);
      const bool settled = at != trackers_.end() && is_settled(at->second, name);
      const RefereedSubscription& subscription =
          subscriptions_.at(tracker_name.substr(0, tracker_name.find(' ')));
      if (settled || subscription.expire_after_ms != 0) continue;
      ++missing;
      example = name + " for " + tracker_name;
      break;
    }
  }
  if (missing == 0) return;
  if (rotten_ && missing <= unreadable) return;
  violate("I1: " + std::to_string(missing) + " acknowledged events were never settled, such as " +
          example + "; the gateway reports " + std::to_string(unreadable) + " as damaged");
}

void Referee::on_paged(const std::string& source, const protocol::EventView& event) {
  if (source.empty() && rotten_) return;  // who published it has rotted away
  const auto found = events_.find(event_name(key_name_of(source, event), event.offset));
  if (found == events_.end()) return violate("R7: a page has an event that nobody has published");
  found->second.paged = true;
}

// What everybody settled within the linger was never written, nor what nobody has subscribed to.
void Referee::check_paged() {
  if (lingers_ || rotten_) return;
  for (const auto& [name, event] : events_)
    if (event.acked && !event.owed.empty() && !event.paged)
      return violate("R8: " + name + " was acknowledged, and who reads the log did not get it");
}

}  // namespace sink::simulation

#include "test/simulation/channel_end.h"

#include <utility>

namespace sink::simulation {
namespace {

using protocol::ErrorCode;

constexpr uint16_t kRequest = 9;
constexpr uint32_t kTtlMs = 20'000;
constexpr uint64_t kRetryMs = 300;
constexpr size_t kLinesMax = 3;      // that an opener opens
constexpr size_t kOpenMax = 12;      // messages of a channel without an answer
constexpr size_t kInFlightMax = 5;   // no gateway takes fewer
constexpr char kNoSuchChannel = '\x05';

}  // namespace

ChannelEnd::ChannelEnd(Stage& stage, Gateway& gateway, std::string name, Role role,
                       ChannelOracle& oracle)
    : Peer(stage, gateway, std::move(name), protocol::kProtocolVersion1),
      role_(role),
      oracle_(oracle) {}

void ChannelEnd::heal() {
  Peer::heal();
  healed_ = true;
  for (Unanswered& one : unanswered_) one.due_ms = now_ms();
}

bool ChannelEnd::idle() const {
  if (!welcomed() || !knows_all_ || asked_) return false;
  for (const auto& [channel, line] : lines_)  // that it was closing may have rotted away
    if (!line.open.empty() && !(rotten_ && line.closing)) return false;
  return true;
}

void ChannelEnd::judge(const std::optional<std::string>& wrong) {
  if (wrong && !rotten_) stage_.referee.violate(name() + ": " + *wrong);
}

// ---- connections -----------------------------------------------------------------------------

void ChannelEnd::on_welcome() {
  asked_.reset();
  knows_all_ = false;
  page_after_.reset();
  lost_.clear();
  listed_.clear();
}

void ChannelEnd::on_lost() {
  in_flight_.clear();
  unanswered_.clear();
  for (auto& [channel, line] : lines_)
    for (auto& [offset, message] : line.open) message.in_flight = false;
}

void ChannelEnd::on_unreceived(const std::vector<uint16_t>& ids) {
  for (const uint16_t id : ids) {
    const Place place = in_flight_.at(id);
    in_flight_.erase(id);
    const auto line = lines_.find(place.channel);
    if (line != lines_.end() && line->second.open.count(place.offset) != 0)
      line->second.open.at(place.offset).in_flight = false;
  }
}

uint64_t ChannelEnd::act(uint64_t now_ms) {
  std::string frames;
  std::erase_if(unanswered_, [&](const Unanswered& one) {
    if (one.due_ms > now_ms) return false;
    if (faults().strikes(Fault::nack, 20)) {
      protocol::append_nack(frames, one.id, "\x01", "later");
      resumable().on_nack(one.id, "\x01", "later");
    } else {
      protocol::append_ack(frames, one.id);
      resumable().on_ack(one.id);
    }
    return true;
  });
  if (!asked_)
    if (const auto request = wish()) ask(*request, frames);
  if (knows_all_) {
    make_messages();
    send_due(frames);
  }
  send(frames);
  return now_ms + (healed_ ? 50 : random().between(20, 400));
}

// ---- requests --------------------------------------------------------------------------------

std::optional<protocol::ControlRequest> ChannelEnd::wish() {
  if (!knows_all_) return protocol::ListChannels{page_after_};
  if (!lost_.empty()) {
    const protocol::AdvanceChannel next = lost_.back();
    lost_.pop_back();
    return next;
  }
  if (role_ == Role::owner && now_ms() >= refresh_at_ms_) {
    if (lease_) return protocol::Refresh{*lease_};
    return protocol::Expose{kService, kTtlMs, "echo", true};
  }
  if (healed_) return std::nullopt;
  if (role_ == Role::opener && lines_.size() < kLinesMax && random().chance(200))
    return protocol::OpenChannel{kService, {}, name()};
  if (lines_.empty() || !random().chance(10)) return std::nullopt;
  const auto line = std::next(lines_.begin(), static_cast<long>(random().below(lines_.size())));
  return protocol::CloseChannel{*protocol::parse_channel_key(line->first)};
}

void ChannelEnd::ask(protocol::ControlRequest request, std::string& frames) {
  protocol::append_control(frames, kRequest, protocol::encode_control(request));
  asked_ = std::move(request);
}

void ChannelEnd::on_outcome(const protocol::ControlOutcome& outcome) {
  const protocol::ControlRequest asked = *std::exchange(asked_, std::nullopt);
  if (outcome.code == ErrorCode::not_allowed || outcome.code == ErrorCode::invalid ||
      outcome.code == ErrorCode::unknown_kind)
    return judge("a request that is allowed is refused: " + outcome.text);
  const bool done = outcome.code == ErrorCode::none;
  if (std::holds_alternative<protocol::ListChannels>(asked) && done)
    return on_page(*outcome.channels);
  if (std::holds_alternative<protocol::OpenChannel>(asked) && done) {
    learn(outcome.channels->channels.at(0));
  } else if (const auto* close = std::get_if<protocol::CloseChannel>(&asked)) {
    const auto line = lines_.find(protocol::channel_key(close->id));
    if (done && line != lines_.end()) line->second.closing = true;
  } else if (std::holds_alternative<protocol::Expose>(asked) ||
             std::holds_alternative<protocol::Refresh>(asked)) {
    if (done) lease_ = outcome.lease->uuid;
    if (outcome.code == ErrorCode::not_found) lease_.reset();
    refresh_at_ms_ = now_ms() + (done ? kTtlMs * 8 / 10 : kRetryMs);
  }
}

// What is on none of the pages has ended: nothing more is taken of it.
void ChannelEnd::on_page(const protocol::ChannelPage& page) {
  for (const protocol::ChannelInfo& info : page.channels) {
    const std::string key = protocol::channel_key(info.id);
    const Line& line = learn(info);
    judge(oracle_.on_listed(key, line.owns, info.published));
    const uint64_t taken = line.open.empty() ? line.made : line.open.begin()->first - 1;
    if (taken > info.published && !line.closing) lost_.push_back({info.id, taken});
    listed_.insert(key);
    page_after_ = info.id;
  }
  if (page.more) return;
  knows_all_ = true;
  std::erase_if(lines_, [&](const auto& line) { return listed_.count(line.first) == 0; });
}

ChannelEnd::Line& ChannelEnd::learn(const protocol::ChannelInfo& info) {
  Line& line = lines_[protocol::channel_key(info.id)];
  if (info.is_owner != (role_ == Role::owner)) judge("the wrong end of channel " + info.service);
  line.owns = info.is_owner;
  line.closing = line.closing || info.closing;
  return line;
}

void ChannelEnd::on_told(const protocol::ControlRequest& told) {
  if (const auto* opened = std::get_if<protocol::ChannelOpened>(&told)) learn(opened->channel);
  if (const auto* closed = std::get_if<protocol::ChannelClosed>(&told))
    lines_.erase(protocol::channel_key(closed->id));
  if (std::holds_alternative<protocol::ServiceEnded>(told)) {
    lease_.reset();
    refresh_at_ms_ = now_ms();
  }
}

// ---- messages --------------------------------------------------------------------------------

void ChannelEnd::on_message(const protocol::Message& message) {
  if (const auto* deliver = std::get_if<protocol::Deliver>(&message)) {
    on_delivery(*deliver);
  } else if (const auto* ack = std::get_if<protocol::Ack>(&message)) {
    on_publish_answer(ack->message_id, nullptr);
  } else if (const auto* nack = std::get_if<protocol::Nack>(&message)) {
    on_publish_answer(nack->message_id, nack);
  } else if (const auto* reply = std::get_if<protocol::ControlReply>(&message)) {
    const auto outcome = protocol::decode_outcome(reply->body);
    if (!outcome || !asked_)
      return stage_.referee.violate(name() + ": a reply to nothing, or one that cannot be read");
    on_outcome(*outcome);
  } else if (const auto* control = std::get_if<protocol::Control>(&message)) {
    const auto told = protocol::decode_control(control->body);
    if (told) on_told(*told);
  }
}

void ChannelEnd::on_delivery(const protocol::Deliver& deliver) {
  const bool from_owner = role_ == Role::opener;
  const std::string key(deliver.event.key);
  if (deliver.subscription != "channel/" + key + (from_owner ? "/b" : "/a"))
    judge("a message comes by " + std::string(deliver.subscription));
  judge(oracle_.on_received(key, from_owner, deliver.event.offset,
                            std::string(deliver.event.event_data)));
  if (faults().strikes(Fault::missing_answer, 10)) return;
  unanswered_.push_back({deliver.message_id, now_ms() + (healed_ ? 0 : random().below(200))});
}

void ChannelEnd::make_messages() {
  for (auto& [channel, line] : lines_) {
    if (healed_ || line.closing || line.open.size() >= kOpenMax || !random().chance(300)) continue;
    const uint64_t offset = ++line.made;
    const std::string data = name() + " " + std::to_string(offset);
    oracle_.on_sent(channel, line.owns, offset, data);
    protocol::append_event(line.open[offset].payload,
                           {protocol::kChannelEventType, 0, channel, offset,
                            stage_.clock.wall_ms, data});
  }
}

// In order; what was refused first goes first.
void ChannelEnd::send_due(std::string& frames) {
  for (auto& [channel, line] : lines_) {
    if (now_ms() < line.not_before_ms) continue;
    for (auto& [offset, message] : line.open) {
      if (in_flight_.size() >= kInFlightMax || frames.size() >= room()) return;
      if (std::exchange(message.in_flight, true)) continue;
      do {
        next_id_ = static_cast<uint16_t>((next_id_ + 1) % protocol::kMessageIds);
      } while (in_flight_.count(next_id_) != 0);
      in_flight_[next_id_] = {channel, offset};
      resumable().on_sent(next_id_, message.payload);
      protocol::append_publish(frames, next_id_, message.payload);
    }
  }
}

void ChannelEnd::on_publish_answer(uint16_t id, const protocol::Nack* nack) {
  const auto flight = in_flight_.find(id);
  if (flight == in_flight_.end())
    return stage_.referee.violate(name() + " gets an answer to nothing");
  const Place place = std::move(flight->second);
  in_flight_.erase(flight);
  if (nack == nullptr) oracle_.on_accepted(place.channel, role_ == Role::owner, place.offset);
  const auto found = lines_.find(place.channel);
  if (found == lines_.end()) return;
  Line& line = found->second;
  if (nack == nullptr) {
    line.open.erase(place.offset);
  } else if (!nack->machine.empty() && nack->machine[0] == kNoSuchChannel) {
    line.closing = true;
    line.open.clear();
  } else if (line.open.count(place.offset) != 0) {
    line.open.at(place.offset).in_flight = false;
    line.not_before_ms = now_ms() + kRetryMs;
  }
}

}  // namespace sink::simulation

#include "test/simulation/auditor.h"

namespace sink::simulation {
namespace {

constexpr uint16_t kRequest = 7;

}  // namespace

Auditor::Auditor(Stage& stage, Gateway& gateway, std::string name)
    : Peer(stage, gateway, std::move(name), protocol::kProtocolVersion1) {}

void Auditor::heal() {
  Peer::heal();
  healed_ = true;
}

bool Auditor::idle() const {
  return gateway_.running() && end_ == gateway_.log().synced_position() && position_ + 1 == end_;
}

uint64_t Auditor::act(uint64_t now_ms) {
  if (!asked_) {
    protocol::Seek seek;
    seek.from = begun_ ? protocol::SeekFrom::position : protocol::SeekFrom::earliest;
    seek.position = position_;
    seek.bytes_max = static_cast<uint32_t>(random().below(4'000));
    seek.wait_ms = static_cast<uint32_t>(random().below(2'000));
    std::string frame;
    protocol::append_control(frame, kRequest, protocol::encode_control(seek));
    send(frame);
    asked_ = true;
  }
  return now_ms + (healed_ ? 20 : random().between(20, 2'000));
}

void Auditor::on_message(const protocol::Message& message) {
  const auto* reply = std::get_if<protocol::ControlReply>(&message);
  if (reply == nullptr) return;
  const auto outcome = protocol::decode_outcome(reply->body);
  if (!outcome || reply->message_id != kRequest || !asked_)
    return stage_.referee.violate("R1: a reply that nobody asked for, or that cannot be read");
  asked_ = false;
  if (outcome->page) return take(*outcome->page);
  switch (outcome->code) {
    case protocol::ErrorCode::trimmed:
      if (outcome->earliest <= position_ + 1)
        stage_.referee.violate("R2: refused as trimmed, and the earliest is not behind the cursor");
      trimmed_ = true;
      position_ = outcome->earliest - 1;
      return;
    case protocol::ErrorCode::unavailable: return;
    default: stage_.referee.violate("R3: the cursor was refused: " + outcome->text);
  }
}

void Auditor::take(const protocol::LogPage& page) {
  const auto events = protocol::decode_paged_events(page.events);
  const uint64_t behind = position_;
  // From the earliest that there was: what went before cannot be told from what never was.
  if (!std::exchange(begun_, true)) trimmed_ = !events->empty() && events->front().position > 1;
  for (const protocol::PagedEvent& paged : *events) {
    const auto event = protocol::decode_event(paged.payload);
    if (!event) return stage_.referee.violate("R4: a page has an event that cannot be read");
    if (paged.position <= behind || paged.position > page.position || page.position >= page.end)
      return stage_.referee.violate("R5: position " + std::to_string(paged.position) +
                                    " is out of its place");
    const auto [known, is_new] = read_.try_emplace(paged.position, paged.payload);
    if (!is_new && known->second != paged.payload)
      return stage_.referee.violate("R6: position " + std::to_string(paged.position) +
                                    " has another event than before");
    stage_.referee.on_paged(std::string(paged.source), *event);
  }
  for (const auto& missing : page.missing) missing_ += missing.end - missing.first;
  position_ = page.position;
  end_ = page.end;
}

}  // namespace sink::simulation

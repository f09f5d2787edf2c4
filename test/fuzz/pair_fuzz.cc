// Two real clients (client/link) and a real broker, joined by wires. The input is a row of deeds:
// publish, answer, deliver some bytes of a wire, change what is on it, break the connection, let
// time pass. What holds: while nobody changes bytes, nothing fails, every event is ACKed once and
// arrives unharmed; whatever was changed, nobody crashes, and the broker's invariants hold. In the
// end the wires are whole again and everything comes to rest.
#include <array>
#include <deque>
#include <set>

#include "client/link.h"
#include "test/fuzz/doctest_judge.h"
#include "test/fuzz/fuzz_check.h"
#include "test/fuzz/fuzz_input.h"
#include "test/unit/broker/world.h"

using namespace sink;
using broker::test::Device;
using broker::test::World;
using test::FuzzInput;

namespace {

constexpr int kDeedsMax = 400;
constexpr int kRoundsMax = 2'000;
constexpr uint64_t kKeepaliveMs = 60'000;

std::string data_of(uint64_t offset) {
  return std::string(offset % 200, static_cast<char>('a' + offset % 26));
}

// One client: its link, and the bytes on the way in both directions.
class End {
 public:
  End(World& world, const std::string& name, uint16_t window, uint8_t version)
      : device_(world.device(name)),
        world_(world),
        options_{"1.0.0", window, kKeepaliveMs, 4'090, version} {
    durable_.identity.client_instance_id = 7;
    device_.on_raw_bytes = [this](protocol::Bytes bytes) { down_ += bytes; };
  }

  void connect() {
    device_.begin_connect();
    up_.clear();
    down_.clear();
    link_.emplace(durable_, options_, now());
    take_output();
  }

  void disconnect() {
    device_.begin_drop();
    if (link_) link_->end();
  }

  bool publish(uint64_t offset) {
    const std::string data = data_of(offset);
    if (!durable_.queue.push({1, 0, "key", offset, 0, data}, offset, 0)) return false;
    published_.insert(offset);
    if (link_) link_->send_queued();
    return true;
  }

  void deliver_up(size_t count) {
    take_output();
    device_.send(up_.substr(0, count));
    up_.erase(0, count);
  }

  void deliver_down(size_t count) {
    if (!link_) return;
    const std::string piece = down_.substr(0, count);
    down_.erase(0, piece.size());
    const std::unique_ptr<char[]> block(new char[piece.size()]);
    piece.copy(block.get(), piece.size());
    link_->lend({block.get(), piece.size()}, now());
    while (const auto event = link_->next()) std::visit([&](const auto& e) { on(e); }, *event);
    link_->settle();
  }

  void answer(size_t which, bool ack) {
    if (!link_ || unanswered_.empty()) return;
    const auto at = unanswered_.begin() + static_cast<ptrdiff_t>(which % unanswered_.size());
    const uint16_t id = *at;
    const bool live = link_->state() == client::LinkState::connected;
    if (live || options_.protocol_version == 0) unanswered_.erase(at);
    FUZZ_CHECK((ack ? link_->ack(id) : link_->nack(id, "\x01", "not now")) == live);
    FUZZ_CHECK(!link_->ack(id));  // once only
  }

  void tick() {
    if (link_ && now() >= link_->deadline_ms()) static_cast<void>(link_->tick(now()));
  }

  std::string& up() { return up_; }
  std::string& down() { return down_; }
  void tamper() { tampered_ = true; }
  bool tampered() const { return tampered_; }
  bool connected() const { return link_ && link_->state() == client::LinkState::connected; }
  bool over() const {
    return !link_ || link_->state() == client::LinkState::ended || device_.closed;
  }
  const client::DurableState& durable() const { return durable_; }
  const std::set<uint64_t>& published() const { return published_; }
  const std::set<uint64_t>& arrived() const { return arrived_; }
  const std::set<uint64_t>& answered() const { return answered_; }
  size_t unanswered() const { return unanswered_.size(); }

  bool bytes_are_doubtful = false;  // somebody changed bytes: what arrives is anybody's guess

 private:
  uint64_t now() const { return world_.now.monotonic_ms; }

  void take_output() {
    if (!link_) return;
    const std::string bytes(link_->output().unsent());
    up_ += bytes;
    link_->mark_sent(bytes.size(), now());
  }

  void on(const client::HelloNewClient&) { link_->identity_saved(); }
  void on(const client::HandshakeDone& done) {
    FUZZ_CHECK(connected());
    if (!done.resumed) unanswered_.clear();
  }
  void on(const client::GoodbyeSaid&) {}
  void on(const client::ServiceEnded&) {}  // it exposes none, and opens none
  void on(const client::ChannelOpened&) {}
  void on(const client::ChannelClosed&) {}
  void on(const client::ReplyReceived&) { FUZZ_CHECK(false); }  // it asks for nothing
  void on(const client::LinkRefused&) { FUZZ_CHECK(tampered_); }
  void on(const client::LinkFailed& failed) {
    FUZZ_CHECK(!failed.reason.empty());
    FUZZ_CHECK(tampered_);
  }
  void on(const client::PublishAnswered& answer) {
    FUZZ_CHECK(answered_.insert(answer.tag).second);  // each once
    FUZZ_CHECK(published_.count(answer.tag) == 1);
    FUZZ_CHECK(answer.acked || tampered_);
  }
  void on(const client::EventDelivered& delivered) {
    unanswered_.push_back(delivered.message_id);
    arrived_.insert(delivered.event.offset);
    FUZZ_CHECK(bytes_are_doubtful || delivered.event.event_data == data_of(delivered.event.offset));
  }

  Device& device_;
  World& world_;
  client::LinkOptions options_;
  client::DurableState durable_{{}, client::PublishQueue({60, 1 << 16}), {}, {}, {}};
  std::optional<client::Link> link_;
  std::string up_, down_;  // on the way to the broker, to the client
  std::deque<uint16_t> unanswered_;
  std::set<uint64_t> published_, answered_, arrived_;
  bool tampered_ = false;
};

class Pair {
 public:
  explicit Pair(FuzzInput& input) : input_(input) {
    const uint8_t choices = input.byte();
    world_.options.segment_bytes = 64 * 1024;
    if ((choices & 1) != 0) world_.settings.output_buffer_bytes = 500;
    broker::SubscriptionSpec& all = world_.subscribe("all", "c-1");
    all.in_flight = 1 + choices / 16;
    all.max_deliveries = 0;
    all.retry_ms = {100};
    world_.start();
    const uint16_t window = (choices & 2) != 0 ? 1 : 8;
    const uint8_t version = (choices & 4) != 0 ? 1 : 0;
    ends_[0].emplace(world_, "pub-1", window, version);
    ends_[1].emplace(world_, "c-1", window, version);
    for (auto& end : ends_) end->connect();
  }

  void run() {
    for (int deeds = 0; deeds < kDeedsMax && !input_.at_end(); ++deeds) one(input_.byte());
    heal();
  }

 private:
  void one(uint8_t deed) {
    End& end = *ends_[deed >> 7];
    switch (deed % 16) {
      case 0:
      case 1:
        if (ends_[0]->publish(offset_ + 1)) ++offset_;
        return;
      case 2:
        return end.deliver_up(input_.byte());
      case 3:
        return end.deliver_up(SIZE_MAX);
      case 4:
        return end.deliver_down(input_.byte());
      case 5:
        return end.deliver_down(SIZE_MAX);
      case 6:
        return end.answer(input_.byte(), (deed & 0x40) == 0);
      case 7:
        world_.settle();
        return;
      case 8:
        world_.step();
        return;
      case 9:
        return end.disconnect();
      case 10:
        return reconnect(end);
      case 11:
        return pass(uint64_t{1} << input_.byte() % 17);
      case 12:
        return tamper(end, (deed & 0x40) != 0 ? end.up() : end.down(), input_.byte() % 4);
      default:
        return flow(end);
    }
  }

  // All there is goes both ways, once.
  void flow(End& end) {
    end.deliver_up(SIZE_MAX);
    world_.settle();
    end.deliver_down(SIZE_MAX);
  }

  void reconnect(End& end) {
    end.disconnect();
    end.connect();
  }

  void tamper(End& end, std::string& wire, unsigned how) {
    if (wire.empty() && how != 1) return;
    const size_t at = wire.empty() ? 0 : input_.number(2) % wire.size();
    end.tamper();
    ends_[1]->bytes_are_doubtful = true;
    switch (how) {
      case 0:
        wire[at] = static_cast<char>(input_.byte());
        return;
      case 1:
        wire.insert(at, input_.text());
        return;
      case 2:
        wire.erase(at, input_.byte());
        return;
      default:
        wire[at] = static_cast<char>(wire[at] ^ 1 << input_.byte() % 8);
        return;
    }
  }

  void pass(uint64_t ms) {
    world_.now.monotonic_ms += ms;
    world_.now.wall_ms += ms;
    for (auto& end : ends_) end->tick();
    world_.step();
  }

  void heal() {
    const bool whole = !ends_[0]->tampered() && !ends_[1]->tampered();
    for (auto& end : ends_) reconnect(*end);
    for (int round = 0; round < kRoundsMax && !at_rest(); ++round) {
      for (auto& end : ends_) {
        if (end->over() && whole) reconnect(*end);
        flow(*end);
        while (end->unanswered() > 0) end->answer(0, true);
      }
      pass(50);
      if (!whole && round > 100) break;  // the ids or offsets that were changed may stay
    }
    if (!whole) return;
    FUZZ_CHECK(at_rest());
    FUZZ_CHECK(ends_[0]->answered() == ends_[0]->published());
    FUZZ_CHECK(ends_[1]->arrived() == ends_[0]->published());
  }

  bool at_rest() {
    return ends_[0]->durable().queue.size() == 0 && ends_[1]->unanswered() == 0 &&
           world_.tracker("all", "c-1").unsettled() == 0;
  }

  FuzzInput& input_;
  World world_;
  std::array<std::optional<End>, 2> ends_;  // a publisher and a consumer
  uint64_t offset_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::judge_outside_of_tests();
  FuzzInput input(data, size);
  Pair(input).run();
  return 0;
}

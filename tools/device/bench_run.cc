#include "tools/device/bench_run.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "tools/device/beat.h"
#include "tools/device/device_loop.h"

namespace sink::tools {
namespace {

constexpr size_t kOpeningAtOnce = 64;  // servers bound connections that have not shaken hands
constexpr uint64_t kBeatNsMin = 50'000;  // a higher rate sends several events at a beat

class BenchRun;

class BenchClient final : public client::Listener {
 public:
  BenchClient(BenchRun& run, const BenchPeer& peer, size_t number, bool consumes);

  void open() { connection_->start(); }
  void close() { connection_->close(); }
  // False when the queue is full.
  bool publish();
  size_t unanswered() const { return connection_->unanswered(); }
  bool is_open() const { return open_; }

 private:
  void on_connected(const client::Connected&) override;
  void on_disconnected(const client::Disconnection& lost) override;
  void on_refused(const client::Refusal& refusal) override;
  void on_answer(const client::Answer& answer) override;
  void on_delivery(const client::Delivery& delivery) override;
  void on_closed() override;

  BenchRun& run_;
  std::string key_;
  std::string data_;
  uint64_t offset_;
  bool consumes_;
  bool open_ = false;
  std::unique_ptr<client::Connection> connection_;
};

// The state of the whole run; clients report to it.
class BenchRun {
 public:
  explicit BenchRun(const BenchPlan& plan)
      : plan_(plan),
        base_(wall_us()),
        last_offsets_(plan.publishers.size(), base_ - 1),
        pace_(loop_, [this](uint64_t) { keep_rate(); }),
        watch_(loop_, [this] { look_for_progress(); }),
        hold_(loop_, [this] { end(); }) {}

  tl::expected<BenchResult, std::string> run();

  // ---- reports of the clients ----
  void on_open();
  void on_lost(const std::string& reason, bool was_open);
  void on_answer(BenchClient& from, const client::Answer& answer);
  void on_delivery(const protocol::EventView& event);
  void on_closed();
  void fail(const std::string& reason);

  const BenchPlan& plan() const { return plan_; }
  DeviceLoop& loop() { return loop_; }
  uint64_t base() const { return base_; }

 private:
  static uint64_t wall_us();
  static double cpu_seconds();
  void open_more();
  void begin();
  void fill(BenchClient& publisher);
  void keep_rate();
  void look_for_progress();
  void check_done();
  void end();
  double since_start() const { return static_cast<double>(now_ns() - started_ns_) / 1e9; }

  const BenchPlan& plan_;
  DeviceLoop loop_;
  uint64_t base_;                       // offsets of this run are not below it
  std::vector<uint64_t> last_offsets_;  // delivered, by publisher
  Beat pace_;
  DeviceLoop::Timer watch_;
  DeviceLoop::Timer hold_;
  std::vector<std::unique_ptr<BenchClient>> clients_;  // publishers, then the consumer
  BenchResult result_;
  std::string failure_;
  size_t asked_to_open_ = 0;
  size_t open_ = 0;
  size_t closed_ = 0;
  size_t next_publisher_ = 0;
  uint64_t created_ns_ = now_ns();
  uint64_t started_ns_ = 0;
  uint64_t published_ = 0;
  uint64_t progress_seen_ = 0;
  double cpu_before_ = 0;
  bool running_ = false;
  bool ending_ = false;
};

// ---- one client ----

BenchClient::BenchClient(BenchRun& run, const BenchPeer& peer, size_t number, bool consumes)
    : run_(run),
      key_("bench-" + std::to_string(number)),
      data_(std::max(run.plan().size, sizeof(uint64_t)), 'x'),
      offset_(run.base()),
      consumes_(consumes),
      connection_(std::make_unique<client::Connection>(run.loop().native(), peer.options,
                                                       peer.persistence, *this)) {}

bool BenchClient::publish() {
  const uint64_t now = now_ns();
  std::memcpy(data_.data(), &now, sizeof now);
  const protocol::EventView event{
      run_.plan().event_type_id, 1, key_, offset_, offset_ / 1000, data_};
  switch (connection_->publish(event, now)) {
    case client::PublishResult::queued:
      ++offset_;
      return true;
    case client::PublishResult::queue_full:
    case client::PublishResult::closed:
      return false;
    case client::PublishResult::too_large:
      break;
  }
  run_.fail("an event of " + std::to_string(data_.size()) + " bytes does not fit a frame");
  return false;
}

void BenchClient::on_connected(const client::Connected&) {
  if (!std::exchange(open_, true)) run_.on_open();
}
void BenchClient::on_disconnected(const client::Disconnection& lost) {
  run_.on_lost(lost.reason, open_);
}
void BenchClient::on_refused(const client::Refusal& refusal) {
  run_.fail(std::string("refused: ") + protocol::to_string(refusal.code) + ": " +
            std::string(refusal.human));
}
void BenchClient::on_answer(const client::Answer& answer) {
  run_.on_answer(*this, answer);
}
void BenchClient::on_delivery(const client::Delivery& delivery) {
  if (!consumes_) return;
  connection_->ack(delivery.id);
  run_.on_delivery(delivery.event);
}
void BenchClient::on_closed() {
  run_.on_closed();
}

// ---- the run ----

uint64_t BenchRun::wall_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

double BenchRun::cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

tl::expected<BenchResult, std::string> BenchRun::run() {
  for (const BenchPeer& peer : plan_.publishers)
    clients_.push_back(std::make_unique<BenchClient>(*this, peer, clients_.size(), false));
  if (plan_.consumer)
    clients_.push_back(
        std::make_unique<BenchClient>(*this, *plan_.consumer, clients_.size(), true));
  loop_.on_signal([this] { end(); });
  watch_.start(plan_.stall_ms, plan_.stall_ms);
  open_more();
  loop_.run();
  clients_.clear();
  if (!failure_.empty()) return tl::unexpected(failure_);
  return result_;
}

void BenchRun::open_more() {
  while (asked_to_open_ < clients_.size() && asked_to_open_ < open_ + kOpeningAtOnce)
    clients_[asked_to_open_++]->open();
}

void BenchRun::on_open() {
  ++open_;
  if (open_ == clients_.size()) return begin();
  open_more();
}

void BenchRun::begin() {
  result_.open_seconds = static_cast<double>(now_ns() - created_ns_) / 1e9;
  cpu_before_ = cpu_seconds();
  if (plan_.mode != BenchMode::drain) started_ns_ = now_ns();
  running_ = true;
  switch (plan_.mode) {
    case BenchMode::idle:
      return hold_.start(plan_.hold_ms, 0);
    case BenchMode::drain:
      return;
    case BenchMode::accept:
    case BenchMode::end_to_end:
      break;
  }
  if (plan_.rate > 0) {
    if (!pace_.start(std::max(kBeatNsMin, 1'000'000'000 / plan_.rate)))
      fail("cannot keep a rate: no descriptor is left for a timer");
    return;
  }
  for (size_t i = 0; i < plan_.publishers.size(); ++i) fill(*clients_[i]);
}

void BenchRun::fill(BenchClient& publisher) {
  while (published_ < plan_.events && publisher.unanswered() < plan_.publishers[0].options.window) {
    if (!publisher.publish()) return;
    ++published_;
  }
}

void BenchRun::keep_rate() {
  const double due = since_start() * static_cast<double>(plan_.rate);
  const uint64_t wanted = std::min(plan_.events, static_cast<uint64_t>(due));
  while (published_ < wanted) {
    BenchClient& publisher = *clients_[next_publisher_++ % plan_.publishers.size()];
    if (!publisher.publish()) {
      ++result_.behind;
      return;
    }
    ++published_;
  }
  if (published_ == plan_.events) pace_.stop();
}

void BenchRun::on_answer(BenchClient& from, const client::Answer& answer) {
  result_.ack_latency.record(now_ns() - answer.tag);
  ++(answer.acked ? result_.acked : result_.nacked);
  if (plan_.rate == 0) fill(from);
  if (result_.acked + result_.nacked == plan_.events) result_.seconds = since_start();
  check_done();
}

void BenchRun::on_delivery(const protocol::EventView& event) {
  if (plan_.mode == BenchMode::drain) {
    if (started_ns_ == 0) started_ns_ = now_ns();
    if (++result_.delivered < plan_.events) return;
    result_.seconds = result_.delivery_seconds = since_start();
    return check_done();
  }
  if (event.offset < base_ || event.key.substr(0, 6) != "bench-") return;
  const size_t number = std::strtoul(std::string(event.key.substr(6)).c_str(), nullptr, 10);
  if (number >= last_offsets_.size()) return;
  if (event.offset <= last_offsets_[number]) {
    ++result_.delivered_twice;
    return;
  }
  last_offsets_[number] = event.offset;
  uint64_t published_ns = 0;
  if (event.event_data.size() >= sizeof published_ns)
    std::memcpy(&published_ns, event.event_data.data(), sizeof published_ns);
  result_.delivery_latency.record(now_ns() - published_ns);
  ++result_.delivered;
  check_done();
}

void BenchRun::check_done() {
  const bool publishing = plan_.mode != BenchMode::drain;
  const bool consuming = plan_.consumer.has_value();
  if (publishing && result_.acked + result_.nacked < plan_.events) return;
  // What was NACKed will never be delivered.
  const uint64_t expected = publishing ? result_.acked : plan_.events;
  if (consuming && result_.delivered < expected) return;
  if (consuming && result_.delivery_seconds == 0) result_.delivery_seconds = since_start();
  end();
}

void BenchRun::look_for_progress() {
  const uint64_t progress = open_ + result_.acked + result_.nacked + result_.delivered;
  const bool holding = running_ && plan_.mode == BenchMode::idle;
  if (!holding && progress == progress_seen_)
    return fail("no progress within " + std::to_string(plan_.stall_ms / 1000) +
                " s: " + std::to_string(open_) + " of " + std::to_string(clients_.size()) +
                " connections open, " + std::to_string(result_.acked) + " events acked, " +
                std::to_string(result_.delivered) + " delivered");
  progress_seen_ = progress;
}

void BenchRun::on_lost(const std::string& reason, bool was_open) {
  if (ending_) return;
  if (was_open) {
    ++result_.disconnections;
    return;
  }
  if (now_ns() - created_ns_ >= plan_.wait_ms * 1'000'000) fail(reason);
}

void BenchRun::fail(const std::string& reason) {
  if (failure_.empty() && !ending_) failure_ = reason;
  end();
}

void BenchRun::end() {
  if (std::exchange(ending_, true)) return;
  result_.cpu_seconds = cpu_seconds() - cpu_before_;
  if (result_.seconds == 0 && started_ns_ != 0) result_.seconds = since_start();
  const uint64_t seen =
      plan_.mode == BenchMode::drain ? result_.delivered : result_.acked + result_.nacked;
  if (plan_.mode != BenchMode::idle)
    result_.unfinished = plan_.events - std::min(seen, plan_.events);
  pace_.stop();
  watch_.stop();
  hold_.stop();
  for (const auto& one : clients_) one->close();
}

void BenchRun::on_closed() {
  if (++closed_ == clients_.size()) loop_.stop();
}

}  // namespace

tl::expected<BenchResult, std::string> run_bench(const BenchPlan& plan) {
  return BenchRun(plan).run();
}

}  // namespace sink::tools

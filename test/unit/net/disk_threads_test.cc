// The disk threads with a real log on a real directory: commits, background work and reads side by
// side, finished on the loop. What they share is what a thread sanitizer looks at here.
#include "daemon/net/disk_threads.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "storage/posix_disk.h"
#include "storage/store.h"

using namespace sink;
using storage::Position;

namespace {

constexpr Position kEvents = 3'000;
constexpr Position kBurst = 40;

std::string payload_of(Position position) {
  return "event " + std::to_string(position) + std::string(position % 300, 'x');
}

struct Nothing : storage::Replay {
  void on_snapshot_record(storage::RecordKind, std::string_view) override {}
  void on_event(Position, std::string_view) override { ++events; }
  void on_record(storage::RecordKind, std::string_view) override {}
  uint64_t events = 0;
};

// Appends, commits, settles and reads back, until everything has been committed and read.
class Load : public storage::LogOwner {
 public:
  Load() {
    REQUIRE(mkdtemp(folder_.data()) != nullptr);
    disk_ = std::move(*storage::PosixDisk::open_directory(folder_, true));
    storage::LogOptions options;
    options.segment_bytes = 64 * 1024;
    options.bytes_max = 64 << 20;
    options.reserve_bytes = 64 * 1024;
    options.snapshot_every_bytes = 32 * 1024;
    auto store = storage::open_store(*disk_, {}, options, recovered_, {1, 1});
    REQUIRE(store);
    log_ = std::move(store->log);
    log_->set_owner(this);
    REQUIRE(uv_loop_init(&loop_) == 0);
    threads_.emplace(&loop_, *disk_);
    REQUIRE(threads_->start());
    REQUIRE(uv_idle_init(&loop_, &round_) == 0);
    round_.data = this;
    uv_idle_start(&round_, [](uv_idle_t* round) { static_cast<Load*>(round->data)->turn(); });
  }
  ~Load() override {
    threads_.reset();
    uv_run(&loop_, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&loop_) == 0);
    log_.reset();
    disk_.reset();
    std::filesystem::remove_all(folder_);
  }

  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
  Position committed() const { return committed_; }
  uint64_t reads() const { return reads_; }
  uint64_t wrong() const { return wrong_; }
  const storage::EventLog& log() const { return *log_; }
  size_t rounds_of_finishes = 0;

 private:
  storage::LogTime now() { return {uv_now(&loop_), uv_now(&loop_)}; }

  void turn() {
    threads_->before_finish = [this] { ++rounds_of_finishes; };
    for (Position n = 0; n < kBurst && next_ <= kEvents && !log_->busy(); ++n, ++next_) {
      if (!log_->accepts(400)) break;
      REQUIRE(log_->take_position() == next_);
      log_->append_event(next_, "", payload_of(next_), 1);
    }
    if (auto task = log_->next_commit(now())) threads_->submit(broker::Lane::commit, *task);
    if (auto task = log_->next_background(now())) threads_->submit(broker::Lane::background, *task);
    CHECK(threads_->commit_running_ms() < 60'000);
    if (committed_ < kEvents || !threads_->idle()) return;
    uv_idle_stop(&round_);
    uv_close(reinterpret_cast<uv_handle_t*>(&round_), nullptr);
    threads_->stop();
  }

  void before_commit() override {}
  void write_snapshot(storage::SnapshotWriter& writer) override {
    writer.add(storage::RecordKind::first_broker_kind, "state");
  }
  std::vector<Position> unsettled_in(Position, Position) override { return {}; }
  void on_committed(const storage::CommitReceipt& receipt,
                    std::shared_ptr<const storage::Block>) override {
    const Position first = committed_ + 1;
    committed_ = receipt.end_position() - 1;
    if (first > committed_) return;
    read(first);
    log_->note_settled(first, committed_);  // all but the newest
  }

  void read(Position position) {
    threads_->submit(broker::Lane::read, log_->read(position, [this, position](const auto& block) {
      ++reads_;
      const auto found = block && *block ? (*block)->find(position) : std::nullopt;
      if (!found || *found != payload_of(position)) ++wrong_;
    }));
  }

  std::string folder_ = (std::filesystem::temp_directory_path() / "disk_threads_XXXXXX").string();
  std::unique_ptr<storage::PosixDisk> disk_;
  Nothing recovered_;
  std::unique_ptr<storage::EventLog> log_;
  uv_loop_t loop_{};
  uv_idle_t round_{};
  std::optional<net::DiskThreads> threads_;
  Position next_ = 1, committed_ = 0;
  uint64_t reads_ = 0, wrong_ = 0;
};

}  // namespace

TEST_CASE("disk threads: commits, background work and reads go on side by side, none is lost") {
  Load load;
  load.run();
  CHECK(load.committed() == kEvents);
  CHECK(load.reads() > 0);
  CHECK(load.wrong() == 0);
  CHECK(load.rounds_of_finishes > 0);
  CHECK(load.log().counters().snapshots > 0);
  CHECK_FALSE(load.log().failed());
}

TEST_CASE("disk threads: what was queued when they stop is dropped, not finished") {
  uv_loop_t loop;
  REQUIRE(uv_loop_init(&loop) == 0);
  auto disk = storage::PosixDisk::open_directory(std::filesystem::temp_directory_path(), false);
  REQUIRE(disk);
  std::atomic<int> runs{0};
  int finishes = 0;
  {
    net::DiskThreads threads(&loop, **disk);
    REQUIRE(threads.start());
    for (int i = 0; i < 100; ++i)
      threads.submit(broker::Lane::commit, {[&](storage::Disk&) { ++runs; }, [&] { ++finishes; }});
    CHECK_FALSE(threads.idle());
    threads.stop();
    threads.stop();  // once more is harmless
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(runs <= 100);
  CHECK(finishes == 0);
  CHECK(uv_loop_close(&loop) == 0);
}

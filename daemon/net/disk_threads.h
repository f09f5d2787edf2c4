// Runs the engine's disk tasks on one thread for each lane and finishes them on the loop, so that
// the loop never waits for a disk and a commit never waits for a read. Owner: the daemon; stop()
// before the loop and the disk go. Invariant: within a lane tasks run one at a time, in order.
#pragma once

#include <uv.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "daemon/broker/core.h"
#include "storage/disk.h"

namespace sink::net {

class DiskThreads final : public broker::DiskLanes {
 public:
  DiskThreads(uv_loop_t* loop, storage::Disk& disk) : loop_(loop), disk_(disk) {}
  ~DiskThreads() override;

  // Before the first task. False: the system gives no descriptor or no thread.
  [[nodiscard]] bool start();

  void submit(broker::Lane lane, storage::Task task) override;
  // Called on the loop before a round of finishes and after it.
  std::function<void()> before_finish;

  // Waits for running tasks, drops the queued ones, closes the loop handle. Finishes nothing more.
  void stop();
  // How long the present commit has been running; 0: none is.
  uint64_t commit_running_ms() const;
  bool idle() const { return outstanding_ == 0; }

 private:
  struct Worker {
    std::thread thread;
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<storage::Task> queue;
    bool stopping = false;
  };
  static constexpr size_t kLanes = 3;

  void work(Worker& worker, bool commits);
  void finish_done();
  static void on_async(uv_async_t* handle);

  uv_loop_t* loop_;
  storage::Disk& disk_;
  uv_async_t async_;
  bool async_open_ = false;
  std::array<Worker, kLanes> workers_;
  std::mutex done_mutex_;
  std::vector<storage::Task> done_;
  std::atomic<uint64_t> commit_started_ms_{0};
  size_t outstanding_ = 0;
  bool stopped_ = false;
};

}  // namespace sink::net

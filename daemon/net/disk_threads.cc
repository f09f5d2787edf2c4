#include "daemon/net/disk_threads.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>

namespace sink::net {
namespace {

uint64_t monotonic_ms() { return uv_hrtime() / 1'000'000; }

}  // namespace

bool DiskThreads::start() {
  if (uv_async_init(loop_, &async_, on_async) != 0) return false;
  async_open_ = true;
  async_.data = this;
  // Signals belong to the loop's thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const bool commits = lane == static_cast<size_t>(broker::Lane::commit);
      workers_[lane].thread = std::thread([this, lane, commits] { work(workers_[lane], commits); });
    }
  } catch (const std::system_error&) {
    started = false;  // stop() ends those that did start
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

DiskThreads::~DiskThreads() { stop(); }

void DiskThreads::submit(broker::Lane lane, storage::Task task) {
  ++outstanding_;
  Worker& worker = workers_[static_cast<size_t>(lane)];
  {
    const std::lock_guard lock(worker.mutex);
    worker.queue.push_back(std::move(task));
  }
  worker.wake.notify_one();
}

void DiskThreads::work(Worker& worker, bool commits) {
  for (;;) {
    storage::Task task;
    {
      std::unique_lock lock(worker.mutex);
      worker.wake.wait(lock, [&] { return worker.stopping || !worker.queue.empty(); });
      if (worker.stopping) return;
      task = std::move(worker.queue.front());
      worker.queue.pop_front();
    }
    if (commits) commit_started_ms_ = monotonic_ms();
    task.run(disk_);
    if (commits) commit_started_ms_ = 0;
    {
      const std::lock_guard lock(done_mutex_);
      done_.push_back(std::move(task));
    }
    uv_async_send(&async_);
  }
}

void DiskThreads::on_async(uv_async_t* handle) {
  static_cast<DiskThreads*>(handle->data)->finish_done();
}

void DiskThreads::finish_done() {
  if (stopped_) return;
  std::vector<storage::Task> done;
  {
    const std::lock_guard lock(done_mutex_);
    done.swap(done_);
  }
  if (before_finish) before_finish();
  for (storage::Task& task : done) {
    --outstanding_;
    task.finish();
  }
}

void DiskThreads::stop() {
  if (stopped_) return;
  stopped_ = true;
  for (Worker& worker : workers_) {
    {
      const std::lock_guard lock(worker.mutex);
      worker.stopping = true;
    }
    worker.wake.notify_all();
  }
  for (Worker& worker : workers_)
    if (worker.thread.joinable()) worker.thread.join();
  if (async_open_) uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
}

uint64_t DiskThreads::commit_running_ms() const {
  const uint64_t started = commit_started_ms_;
  return started == 0 ? 0 : monotonic_ms() - started;
}

}  // namespace sink::net

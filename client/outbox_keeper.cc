#include "client/outbox_keeper.h"

#include <utility>

namespace sink::client {

struct OutboxKeeper::Work {
  OutboxKeeper* keeper = nullptr;  // null once nobody waits
  std::shared_ptr<Outbox> outbox;
  OutboxBatch batch;
  Loaded loaded;  // one of the two is set
  Written written;
  tl::expected<std::vector<KeptEvent>, OutboxError> result;
  uv_work_t request{};

  // On a pool thread; touches nothing of the keeper.
  void run() {
    if (loaded) {
      result = outbox->load();
    } else if (auto done = outbox->write(batch); !done) {
      result = tl::unexpected(done.error());
    }
  }
};

OutboxKeeper::~OutboxKeeper() {
  if (work_ != nullptr) work_->keeper = nullptr;
}

void OutboxKeeper::load(Loaded done) {
  auto work = std::make_unique<Work>();
  work->loaded = std::move(done);
  begin(std::move(work));
}

void OutboxKeeper::add(KeptEvent event) {
  if (keeps()) added_.emplace(event.number, std::move(event));
}

void OutboxKeeper::pass_by(uint64_t number) {
  if (keeps()) passed_by_.insert(number);
}

void OutboxKeeper::settle(uint64_t number) {
  if (passed_by_.erase(number) > 0) return;
  if (keeps() && added_.erase(number) == 0) settled_.push_back(number);
}

void OutboxKeeper::write(Written done) {
  if (busy() || !has_pending()) return;
  auto work = std::make_unique<Work>();
  work->written = std::move(done);
  for (auto& [number, event] : added_) work->batch.added.push_back(std::move(event));
  added_.clear();
  work->batch.settled = std::exchange(settled_, {});
  begin(std::move(work));
}

void OutboxKeeper::begin(std::unique_ptr<Work> work) {
  work->keeper = this;
  work->outbox = outbox_;
  work_ = work.release();
  work_->request.data = work_;
  const auto run = [](uv_work_t* request) { static_cast<Work*>(request->data)->run(); };
  const auto finished = [](uv_work_t* request, int) {
    const std::unique_ptr<Work> done(static_cast<Work*>(request->data));
    if (done->keeper != nullptr) done->keeper->finish(*done);
  };
  const int status = uv_queue_work(loop_, &work_->request, run, finished);
  if (status == 0) return;
  const std::unique_ptr<Work> failed(work_);
  failed->result = tl::unexpected(
      OutboxError{std::string("cannot start a thread: ") + uv_strerror(status), true});
  finish(*failed);
}

void OutboxKeeper::finish(Work& work) {
  work_ = nullptr;
  if (work.loaded) return work.loaded(work.result);
  if (work.result) {
    for (KeptEvent& event : work.batch.added) event.payload.clear();
    work.result = std::move(work.batch.added);
  } else if (work.result.error().passes) {
    put_back(work.batch);
  }
  work.written(work.result);
}

// Written again as it was: what of it has got to the disk is known there by its number. What was
// settled meanwhile is settled by the same batch.
void OutboxKeeper::put_back(OutboxBatch& batch) {
  for (KeptEvent& event : batch.added) added_.emplace(event.number, std::move(event));
  settled_.insert(settled_.begin(), batch.settled.begin(), batch.settled.end());
}

}  // namespace sink::client

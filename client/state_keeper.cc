#include "client/state_keeper.h"

#include <utility>

namespace sink::client {

struct StateKeeper::Work {
  StateKeeper* keeper = nullptr;  // null once nobody waits
  std::shared_ptr<Persistence> persistence;
  std::function<void(Persistence&)> run;             // on a pool thread
  std::function<void(const std::string*)> finished;  // the error is that there was no thread
  uv_work_t request{};
};

StateKeeper::StateKeeper(uv_loop_t* loop, std::shared_ptr<Persistence> persistence)
    : loop_(loop), persistence_(std::move(persistence)) {}

StateKeeper::~StateKeeper() {
  if (running_ != nullptr) running_->keeper = nullptr;
}

void StateKeeper::load(uint32_t fresh_id, Done<Identity> done) {
  add<Identity>(
      [fresh_id](Persistence& store) -> tl::expected<Identity, std::string> {
        const auto loaded = store.load();
        if (!loaded) return tl::unexpected(loaded.error());
        if (*loaded) return **loaded;
        const Identity fresh{fresh_id, std::nullopt};
        const auto saved = store.save(fresh);
        if (!saved) return tl::unexpected(saved.error());
        return fresh;
      },
      std::move(done));
}

void StateKeeper::save(const Identity& identity, Done<Identity> done) {
  add<Identity>(
      [identity](Persistence& store) -> tl::expected<Identity, std::string> {
        const auto saved = store.save(identity);
        if (!saved) return tl::unexpected(saved.error());
        return identity;
      },
      std::move(done));
}

void StateKeeper::load_session(Done<std::optional<std::string>> done) {
  add<std::optional<std::string>>([](Persistence& store) { return store.load_session(); },
                                  std::move(done));
}

void StateKeeper::save_session(std::string record, Done<void> done) {
  add<void>([record = std::move(record)](Persistence& store) { return store.save_session(record); },
            std::move(done));
}

template <class Value>
void StateKeeper::add(std::function<tl::expected<Value, std::string>(Persistence&)> deed,
                      Done<Value> done) {
  const auto result = std::make_shared<tl::expected<Value, std::string>>();
  auto work = std::make_unique<Work>();
  work->run = [deed = std::move(deed), result](Persistence& store) { *result = deed(store); };
  work->finished = [done = std::move(done), result](const std::string* no_thread) {
    if (no_thread != nullptr) *result = tl::unexpected(*no_thread);
    done(*result);
  };
  waiting_.push_back(std::move(work));
  run_next();
}

void StateKeeper::run_next() {
  if (running_ != nullptr || waiting_.empty()) return;
  running_ = waiting_.front().release();
  waiting_.pop_front();
  running_->keeper = this;
  running_->persistence = persistence_;
  running_->request.data = running_;
  const auto run = [](uv_work_t* request) {
    auto* work = static_cast<Work*>(request->data);
    work->run(*work->persistence);  // touches nothing of the keeper
  };
  const auto finished = [](uv_work_t* request, int) {
    const std::unique_ptr<Work> work(static_cast<Work*>(request->data));
    if (work->keeper == nullptr) return;
    work->keeper->running_ = nullptr;
    work->keeper->run_next();
    work->finished(nullptr);
  };
  const int status = uv_queue_work(loop_, &running_->request, run, finished);
  if (status == 0) return;
  const std::unique_ptr<Work> work(std::exchange(running_, nullptr));
  const std::string no_thread = std::string("cannot start a thread: ") + uv_strerror(status);
  work->finished(&no_thread);
}

}  // namespace sink::client

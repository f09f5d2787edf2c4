#include "client/identity_keeper.h"

#include <utility>

namespace sink::client {

struct IdentityKeeper::Work {
  IdentityKeeper* keeper = nullptr;  // null once nobody waits
  std::shared_ptr<Persistence> persistence;
  Identity identity;
  bool load = false;
  Done done;
  tl::expected<Identity, std::string> result;
  uv_work_t request{};

  // On a pool thread; touches nothing of the keeper.
  void run() {
    if (load) {
      const auto loaded = persistence->load();
      if (!loaded) {
        result = tl::unexpected(loaded.error());
        return;
      }
      if (*loaded) {
        result = **loaded;
        return;
      }
    }
    const auto saved = persistence->save(identity);
    if (saved) {
      result = identity;
    } else {
      result = tl::unexpected(saved.error());
    }
  }
};

IdentityKeeper::~IdentityKeeper() {
  if (work_ != nullptr) work_->keeper = nullptr;
}

void IdentityKeeper::load(uint32_t fresh_id, Done done) {
  begin({fresh_id, std::nullopt}, true, std::move(done));
}

void IdentityKeeper::save(const Identity& identity, Done done) {
  begin(identity, false, std::move(done));
}

void IdentityKeeper::begin(const Identity& identity, bool load, Done done) {
  work_ = new Work{this, persistence_, identity, load, std::move(done), {}};
  work_->request.data = work_;
  const auto run = [](uv_work_t* request) { static_cast<Work*>(request->data)->run(); };
  const auto finished = [](uv_work_t* request, int) {
    const std::unique_ptr<Work> work(static_cast<Work*>(request->data));
    if (work->keeper == nullptr) return;
    work->keeper->work_ = nullptr;
    work->done(work->result);
  };
  const int status = uv_queue_work(loop_, &work_->request, run, finished);
  if (status == 0) return;
  const std::unique_ptr<Work> work(std::exchange(work_, nullptr));
  work->done(tl::unexpected(std::string("cannot start a thread: ") + uv_strerror(status)));
}

}  // namespace sink::client

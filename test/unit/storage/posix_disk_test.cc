#include "storage/posix_disk.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "storage/store.h"
#include "test/unit/storage/log_fixture.h"

using namespace sink::storage;

namespace {

// A directory of its own, gone with the test.
struct Directory {
  std::string path = (std::filesystem::temp_directory_path() / "posix_disk_XXXXXX").string();
  Directory() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Directory() { std::filesystem::remove_all(path); }
  std::unique_ptr<PosixDisk> disk(const char* name = "store") {
    auto made = PosixDisk::open_directory(path + "/" + name, true);
    REQUIRE(made);
    return std::move(*made);
  }
};

}  // namespace

TEST_CASE("posix disk: files are made, written, read, renamed and removed") {
  Directory directory;
  const auto disk = directory.disk();
  const auto file = disk->open("one", OpenMode::create);
  REQUIRE(file);
  CHECK(disk->open("one", OpenMode::create).error().fault == DiskFault::exists);
  CHECK(disk->open("two", OpenMode::read).error().fault == DiskFault::not_found);
  REQUIRE(disk->allocate(*file, 10'000));
  CHECK(*disk->size(*file) == 10'000);
  CHECK(*disk->read(*file, 9'990, 100) == std::string(10, '\0'));
  REQUIRE(disk->write(*file, 5, "hello"));
  REQUIRE(disk->sync(*file));
  disk->drop_cache(*file);
  CHECK(*disk->read(*file, 5, 5) == "hello");
  CHECK(disk->read(*file, 20'000, 5)->empty());
  REQUIRE(disk->truncate(*file, 8));
  CHECK(*disk->read(*file, 0, 100) == std::string(5, '\0') + "hel");
  disk->close(*file);
  REQUIRE(disk->rename("one", "two"));
  REQUIRE(disk->sync_directory());
  CHECK(*disk->list() == std::vector<std::string>{"two"});
  REQUIRE(disk->remove("two"));
  CHECK(disk->remove("two").error().fault == DiskFault::not_found);
  CHECK(*disk->free_bytes() > 0);
}

TEST_CASE("posix disk: a directory belongs to one at a time and is closed to others") {
  Directory directory;
  auto first = directory.disk();
  const auto second = directory.disk();
  REQUIRE(first->lock());
  CHECK(second->lock().error().fault == DiskFault::locked);
  first.reset();
  const auto third = directory.disk();
  CHECK(third->lock());
  const auto mode = std::filesystem::status(directory.path + "/store").permissions();
  CHECK((mode & (std::filesystem::perms::group_all | std::filesystem::perms::others_all)) ==
        std::filesystem::perms::none);
  CHECK(PosixDisk::open_directory(directory.path + "/absent", false).error().fault ==
        DiskFault::not_found);
}

TEST_CASE("posix disk: a file that may not grow is a full disk, not a broken one") {
  Directory directory;
  const auto disk = directory.disk();
  const auto file = disk->open("limited", OpenMode::create);
  REQUIRE(file);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = 4'096;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  // A short write, then EFBIG.
  const auto written = disk->write(*file, 0, std::string(10'000, 'x'));
  const auto allocated = disk->allocate(*file, 10'000);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  REQUIRE_FALSE(written);
  CHECK(written.error().fault == DiskFault::no_space);
  REQUIRE_FALSE(allocated);
  CHECK(allocated.error().fault == DiskFault::no_space);
  disk->close(*file);
}

TEST_CASE("posix disk: a log on it comes back") {
  Directory directory;
  StoreIdentity identity;
  identity.id.bytes[0] = 7;
  LogOptions options;
  options.segment_bytes = 64 * 1024;
  options.bytes_max = 4u << 20;
  for (int round = 0; round < 3; ++round) {
    const auto disk = directory.disk();
    test::Fold fold;
    LogTime now{1'000, 1'700'000'000'000};
    auto store = open_store(*disk, identity, options, fold, now);
    REQUIRE(store);
    CHECK(store->created == (round == 0));
    CHECK(fold.unsettled[0].size() == static_cast<size_t>(round) * 200);
    CHECK(store->log->gaps().empty());
    for (int i = 0; i < 200; ++i) {
      REQUIRE(store->log->accepts(700));
      store->log->append_event(store->log->take_position(), "\x01", std::string(500, 'p'), 1);
      run_tasks(*store->log, *disk, now);
    }
    CHECK_FALSE(store->log->failed());
    CHECK(store->log->counters().syncs == 200);
  }
}

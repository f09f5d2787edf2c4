// The simulated disk, where a test could be wrong because of it: what a lost write leaves behind.
#include <doctest/doctest.h>

#include "storage/simulated_disk.h"

namespace sink::storage {
namespace {

TEST_CASE("simulated disk: a lost write leaves what was there before it, in cache and on the medium") {
  SimulatedDisk disk;
  const FileHandle file = *disk.open("f", OpenMode::create);
  REQUIRE(disk.write(file, 0, "older...."));
  REQUIRE(disk.sync(file));
  CHECK_FALSE(disk.lose_write("f", 0));  // it did not remember yet
  disk.remembers_writes = true;
  REQUIRE(disk.write(file, 2, "NEW"));
  CHECK_FALSE(disk.lose_write("f", 0));  // nobody was told that it arrived
  REQUIRE(disk.sync(file));
  REQUIRE(disk.write(file, 7, "tail"));
  REQUIRE(disk.sync(file));
  REQUIRE(disk.sync_directory());

  const auto lost = disk.lose_write("f", 0);
  REQUIRE(lost);
  CHECK(lost->at == 2);
  CHECK(lost->bytes == "NEW");
  CHECK(*disk.contents("f") == "older..tail");
  CHECK(disk.lose_write("f", 0)->bytes == "tail");
  CHECK(*disk.contents("f") == std::string("older....\0\0", 11));
  disk.crash();
  CHECK(*disk.contents("f") == std::string("older....\0\0", 11));
  CHECK_FALSE(disk.lose_write("f", 0));
  CHECK_FALSE(disk.lose_write("g", 0));
}

TEST_CASE("simulated disk: a write whose place was cut off since cannot be lost") {
  SimulatedDisk disk;
  disk.remembers_writes = true;
  const FileHandle file = *disk.open("f", OpenMode::create);
  REQUIRE(disk.write(file, 0, "0123456789"));
  REQUIRE(disk.sync(file));
  REQUIRE(disk.truncate(file, 5));
  REQUIRE(disk.sync(file));
  CHECK_FALSE(disk.lose_write("f", 0));
  CHECK(*disk.contents("f") == "01234");
}

}  // namespace
}  // namespace sink::storage

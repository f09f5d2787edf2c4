// A scripted history of a store, run once and kept: every change of the disk in order, and before
// each what had been promised by then. A history has several lives where the process is killed or
// the power cut in the middle and the store is opened again. Not responsible for crashing
// (life_check.h). Invariant: the records of a life are what its owner appended, in log order.
#pragma once

#include <random>

#include "test/crash/disk_state.h"
#include "test/unit/storage/log_fixture.h"

namespace sink::storage::crash {

// What receipts had said at some moment.
struct Promise {
  uint64_t records = 0;        // so many of the life's records are safe
  Position next_position = 0;  // positions below it are never given again
};

struct Step {
  Change change;
  Promise before;
};

struct Life {
  DiskState start;
  std::vector<Step> steps;
  Promise at_end;
  std::vector<test::Operation> records;
  StoreIdentity identity;
  LogOptions options;
  uint64_t capacity = UINT64_MAX;
};

// Puts an image on a disk that has nothing yet; the result has that disk's file ids.
Image load(SimulatedDisk& disk, const Image& image);

class Recording {
 public:
  explicit Recording(uint64_t seed);

  test::LogFixture log;
  std::mt19937_64 random;
  std::string wrong;  // a restart in the middle did not recover what it should have

  size_t between(size_t least, size_t most) { return least + random() % (most - least + 1); }
  // Both lanes side by side, as in the daemon: which of two tasks runs first and which is finished
  // first is drawn, and at times the background has to wait.
  void run();
  void tick(uint64_t ms);
  // Tells the world of a position whose event is never written, as a lingering broker does.
  void tell_position();
  void idle(int rounds) {
    while (rounds-- > 0) tick(2'500);
  }
  void begin();      // opens a new store; options are set before
  bool restart();    // the process is killed and started again
  bool power_cut();  // the machine is; which of the possible images is left is drawn
  std::vector<Life> finish();

 private:
  void start_life(DiskState start);
  DiskState end_life();
  bool open();
  Promise promised() const;

  std::vector<Life> lives_;
  std::vector<Step> steps_;
  Position promised_position_ = 0;  // of earlier lives, or told
};

struct Scenario {
  const char* name;
  void (*options)(Recording&);
  void (*script)(Recording&);
};
extern const Scenario kScenarios[];
extern const size_t kScenarioCount;

// History `number` of all: the scenarios in turn, each time with another seed.
std::vector<Life> record_history(uint64_t number, std::string& wrong);
const Scenario& scenario_of(uint64_t number);

}  // namespace sink::storage::crash

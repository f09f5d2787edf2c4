// Walks through one life of a store and looks at every disk that a crash may leave behind: before
// each change, with every tear, subset and reordering of what was not synced (disk_state.h), again
// at every change that recovery itself makes, and after a kill that the page cache survives. Each
// distinct disk is opened by the real recovery once; what it gives must be a prefix of what was
// appended, no shorter than what was promised, without a word of damage, and the same again when
// recovery is cut off or repeated. Shares no code with recovery.
#pragma once

#include <unordered_map>

#include "test/crash/recording.h"

namespace sink::storage::crash {

struct Tally {
  uint64_t changes = 0;      // of the disk, in all lives
  uint64_t visited = 0;      // disks looked at
  uint64_t distinct = 0;     // of them, no two alike within a life: recovered and checked
  uint64_t in_recovery = 0;  // of the distinct ones, those that a crash inside recovery leaves
  uint64_t read_back = 0;    // of the distinct ones, those whose unsettled events were read, too
  uint64_t gone_on = 0;      // and those that were used further, crashed and opened again
  void add(const Tally& other);
};

class LifeCheck {
 public:
  LifeCheck(const Life& life, Tally& tally);
  std::string run();  // empty: all is well

 private:
  enum class Where : uint8_t { life, recovery };
  struct Recovered {
    uint64_t records = 0;
    Position next_position = 0;
  };
  class Comparison;

  bool visit(const Image& image, const Promise& promise, Where where);
  bool visit_all(DiskState& state, const Promise& promise, Where where);
  bool visit_kill(const DiskState& state, const Promise& promise);
  bool visit_recovery(DiskState state, const std::vector<Change>& changes, const Promise& before,
                      const Promise& after);
  bool recover_one(const Image& image, Recovered& found, std::vector<Change>& changes);
  bool recover_nothing(const Image& image);
  bool read_back(Disk& disk, const RecoveredLog& log, uint64_t records);
  std::shared_ptr<Block> block_at(Disk& disk, const Location& place) const;
  bool go_on(const Image& image, const Promise& promise);
  bool meets(const Recovered& found, const Promise& promise);
  bool wrong(const std::string& what);

  const Life& life_;
  Tally& tally_;
  std::vector<Position> last_position_;  // of the first n records
  std::unordered_map<uint64_t, std::vector<std::string>>
      folds_;                                     // snapshots found right, by records
  std::unordered_map<uint64_t, Recovered> seen_;  // by image
  std::string wrong_;
};

}  // namespace sink::storage::crash

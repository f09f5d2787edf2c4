// What a bad medium makes of bytes that were synced: flipped bits, zeroed sectors, writes that never
// arrived and writes that arrived elsewhere. Only what a later batch or a seal vouches for rots: the
// youngest batch of the newest segment cannot be told from a torn one until something follows it
// (T3). At most one snapshot: two are kept so that either may rot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/simulated_disk.h"
#include "test/simulation/faults.h"

namespace sink::simulation {

class Rot {
 public:
  // Where writes may be lost or misdirected, `disk` begins to remember what they overwrote.
  Rot(FaultPlan& faults, storage::SimulatedDisk& disk);

  struct Spot {
    Fault what = Fault::bit_flip;
    std::string file;
    uint64_t at = 0;  // bytes from its begin
  };
  // Rolls the dice once. What was hit, if anything was.
  std::optional<Spot> strike(Random& random);

  // What has rotted so far.
  bool segments() const { return segments_; }
  bool snapshots() const { return snapshots_; }
  bool any() const { return segments_ || snapshots_; }

 private:
  std::vector<std::string> candidates() const;
  void count(const std::string& file);
  void overwrite(const std::string& file, uint64_t at, std::string_view bytes);
  std::optional<Spot> lose(const std::string& file, bool misdirected, Random& random);

  FaultPlan& faults_;
  storage::SimulatedDisk& disk_;
  bool segments_ = false;
  bool snapshots_ = false;
};

}  // namespace sink::simulation

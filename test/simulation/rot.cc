#include "test/simulation/rot.h"

#include <algorithm>

namespace sink::simulation {
namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kPerMille = 3;

bool is_snapshot(const std::string& name) { return name.ends_with(".snapshot"); }
bool is_segment(const std::string& name) { return name.ends_with(".segment"); }

}  // namespace

Rot::Rot(FaultPlan& faults, storage::SimulatedDisk& disk) : faults_(faults), disk_(disk) {
  disk_.remembers_writes = faults.on(Fault::lost_write) || faults.on(Fault::misdirected_write);
}

std::vector<std::string> Rot::candidates() const {
  std::vector<std::string> found;
  std::string newest;
  const auto names = disk_.names();
  for (const std::string& name : names) {
    if (is_snapshot(name) && snapshots_ == 0) found.push_back(name);
    if (!is_segment(name)) continue;
    if (!newest.empty()) found.push_back(newest);
    newest = name;
  }
  return found;
}

void Rot::overwrite(const std::string& file, uint64_t at, std::string_view bytes) {
  std::string image = *disk_.contents(file);
  const size_t n = std::min<size_t>(bytes.size(), image.size() - static_cast<size_t>(at));
  image.replace(static_cast<size_t>(at), n, bytes, 0, n);
  disk_.set_contents(file, image);
  count(file);
}

void Rot::count(const std::string& file) {
  (is_snapshot(file) ? snapshots_ : segments_) = true;
}

std::optional<Rot::Spot> Rot::lose(const std::string& file, bool misdirected, Random& random) {
  const auto lost = disk_.lose_write(file, random.next());
  if (!lost) return std::nullopt;
  count(file);
  if (!misdirected) return Spot{Fault::lost_write, file, lost->at};
  std::vector<std::string> targets = candidates();
  if (is_snapshot(file)) targets.push_back(file);
  const std::string& target = targets[random.below(targets.size())];
  // Not over a header: a segment's header in another segment is a renamed file, and is refused.
  const uint64_t sectors = disk_.contents(target)->size() / kSectorBytes;
  if (sectors < 2) return Spot{Fault::lost_write, file, lost->at};
  const uint64_t at = random.between(1, sectors - 1) * kSectorBytes;
  overwrite(target, at, lost->bytes);
  return Spot{Fault::misdirected_write, target, at};
}

std::optional<Rot::Spot> Rot::strike(Random& random) {
  std::optional<Fault> what;
  for (const Fault fault : {Fault::bit_flip, Fault::zeroed_sector, Fault::lost_write,
                            Fault::misdirected_write})
    if (!what && faults_.strikes(fault, kPerMille)) what = fault;
  if (!what) return std::nullopt;
  const std::vector<std::string> files = candidates();
  if (files.empty()) return std::nullopt;
  const std::string& file = files[random.below(files.size())];
  const std::string& bytes = *disk_.contents(file);
  if (bytes.empty()) return std::nullopt;
  if (*what == Fault::lost_write) return lose(file, false, random);
  if (*what == Fault::misdirected_write) return lose(file, true, random);
  const uint64_t at = random.below(bytes.size());
  if (*what == Fault::bit_flip) {
    const char flipped = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
    overwrite(file, at, {&flipped, 1});
  } else {
    overwrite(file, at / kSectorBytes * kSectorBytes, std::string(kSectorBytes, '\0'));
  }
  return Spot{*what, file, at};
}

}  // namespace sink::simulation

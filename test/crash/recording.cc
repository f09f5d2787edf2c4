#include "test/crash/recording.h"

#include <algorithm>

namespace sink::storage::crash {

Image load(SimulatedDisk& disk, const Image& image) {
  Image loaded = image;
  FileId id = 0;
  const auto observe =
      std::exchange(disk.observe, [&](const SimulatedDisk::Step& step) { id = step.file; });
  for (ImageFile& file : loaded.files) {
    const auto handle = disk.open(*file.link.name, OpenMode::create);
    if (!handle) continue;  // cannot be: the disk has nothing yet
    file.link.file = id;
    disk.close(*handle);
    disk.set_contents(*file.link.name, file.content->bytes);
  }
  (void)disk.sync_directory();
  disk.observe = observe;
  return loaded;
}

Recording::Recording(uint64_t seed) : log(seed), random(seed) {
  log.options.segment_bytes = 4'096;
  log.options.reserve_bytes = 1'024;
  log.identity.server_instance_id = static_cast<uint32_t>(seed);
}

Promise Recording::promised() const {
  Promise promise{log.durable, promised_position_};
  if (!log.receipts.empty())
    promise.next_position = std::max(promise.next_position, log.receipts.back().end_position());
  return promise;
}

void Recording::start_life(DiskState start) {
  lives_.push_back({std::move(start), {}, {}, {}, log.identity, log.options, log.disk.capacity});
  steps_.clear();
  log.disk.observe = [this](const SimulatedDisk::Step& step) {
    steps_.push_back({keep(step), promised()});
  };
}

DiskState Recording::end_life() {
  log.disk.observe = nullptr;
  Life& life = lives_.back();
  life.steps = std::move(steps_);
  life.at_end = promised();
  life.records = log.operations;
  promised_position_ = life.at_end.next_position;
  DiskState state = life.start;
  for (const Step& step : life.steps) state.apply(step.change);
  return state;
}

bool Recording::open() {
  if (!log.open()) {
    wrong = "does not open: " + log.open_error;
  } else {
    wrong += log.describe_mismatch;
  }
  return wrong.empty();
}

void Recording::run() {
  const bool background_waits = random() % 8 == 0;
  for (;;) {
    std::vector<Task> tasks;
    if (auto task = log.log->next_commit(log.now)) tasks.push_back(std::move(*task));
    if (!background_waits)
      if (auto task = log.log->next_background(log.now)) tasks.push_back(std::move(*task));
    if (tasks.empty()) return;
    std::shuffle(tasks.begin(), tasks.end(), random);
    for (Task& task : tasks) task.run(log.disk);
    std::shuffle(tasks.begin(), tasks.end(), random);
    for (Task& task : tasks) task.finish();
  }
}

void Recording::tell_position() {
  log.log->reserve_positions();
  if (log.log->position_is_reserved()) promised_position_ = log.log->take_position() + 1;
}

void Recording::tick(uint64_t ms) {
  log.now.monotonic_ms += ms;
  log.now.wall_ms += ms;
  run();
}

void Recording::begin() {
  start_life(DiskState(random()));
  open();
}

bool Recording::restart() {
  DiskState state = end_life();
  log.kill();
  start_life(std::move(state));
  return open();
}

bool Recording::power_cut() {
  DiskState state = end_life();
  Image left = state.cached();
  state.images([&](const Image& image) {
    if (random() % 8 == 0) left = image;
    return true;
  });
  log.close();
  const uint64_t capacity = log.disk.capacity;
  log.disk = SimulatedDisk(random());
  log.disk.capacity = capacity;
  start_life(DiskState(load(log.disk, left), random()));
  return open();
}

std::vector<Life> Recording::finish() {
  end_life();
  return std::move(lives_);
}

const Scenario& scenario_of(uint64_t number) {
  return kScenarios[number % kScenarioCount];
}

std::vector<Life> record_history(uint64_t number, std::string& wrong) {
  Recording recording(number + 1);
  const Scenario& scenario = scenario_of(number);
  scenario.options(recording);
  recording.begin();
  if (recording.wrong.empty()) scenario.script(recording);
  wrong = recording.wrong;
  return recording.finish();
}

}  // namespace sink::storage::crash

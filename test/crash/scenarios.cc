// The scripts: what a store goes through in its life, with sizes and moments drawn by the seed.
#include "test/crash/recording.h"

namespace sink::storage::crash {
namespace {

void no_options(Recording&) {}

void first_start(Recording& run) {
  run.log.append_many(static_cast<int>(run.between(1, 4)), run.between(20, 900));
  run.log.commit();
  run.tick(150);
}

void commits(Recording& run) {
  for (int i = 0; i < 16; ++i) {
    run.log.append_many(static_cast<int>(run.between(0, 3)), run.between(20, 600));
    if (i % 3 == 0) run.log.note("note " + std::to_string(i));
    if (i % 5 == 4) run.log.settle(0, 1, static_cast<Position>(i));
    run.log.commit();
    if (run.random() % 4 == 0) run.tick(150);
  }
}

void rotation(Recording& run) {
  for (int i = 0; i < 30; ++i) {
    run.log.append(run.between(300, 1'000), 1, run.random() % 7 == 0 ? 2 : 0);
    run.run();
  }
}

void snapshots(Recording& run) {
  for (int i = 0; i < 40; ++i) {
    run.log.append(run.between(60, 500), 3);
    run.run();
    if (i % 8 == 7) {
      run.log.settle_all();
      run.idle(1);
    }
    if (run.random() % 8 == 0) run.log.log->request_snapshot();
  }
  run.idle(3);
}

// Small batches, so that the copies of one segment take several; events between them, so that at
// times the active segment is full before the copies are complete.
void compaction(Recording& run) {
  for (size_t i = run.between(110, 160); i > 0; --i) {
    run.log.append(run.between(60, 160));
    if (run.random() % 6 == 0) run.run();
  }
  run.log.settle_all_but(run.between(11, 16));
  for (int i = 0; i < 10; ++i) {
    run.tick(i == 3 ? 2'500 : 150);
    run.log.append_many(static_cast<int>(run.between(0, 5)), run.between(30, 300));
    if (i == 2) run.log.log->request_snapshot();
  }
  run.idle(4);
}

// What a broker writes when it takes events out of delivery: the reason, twice, and no event.
void quarantine(Recording& run) {
  for (int i = 0; i < 14; ++i) {
    const Position position = run.log.append(run.between(40, 200));
    run.log.commit();
    if (position == 0) continue;
    run.log.note("quarantined: " + std::string(run.between(1, 700), 'q'));
    run.log.commit();
    if (run.random() % 3 == 0) run.log.settle(0, position, position + 1);  // dropped
    run.log.note("released " + std::to_string(position));
    run.run();
    if (i % 6 == 5) run.log.log->request_snapshot();
  }
  run.tick(150);
}

void drain_and_go_on(Recording& run) {
  run.log.settle_all();
  run.idle(3);
  run.log.append_many(4, run.between(100, 400));
  run.run();
}

void full_store(Recording& run) {
  for (int i = 0; i < 60 && run.log.append(run.between(150, 450)) != 0; ++i) run.run();
  for (Position position = 1; position < 24; position += 2) {
    run.log.settle(0, position, position + 1);
    run.log.commit();
    run.tick(60);
  }
  drain_and_go_on(run);
}

void full_disk(Recording& run) {
  for (int i = 0; i < 60 && run.log.append(run.between(150, 450)) != 0; ++i) run.run();
  run.log.settle(0, 1, 10);
  run.idle(2);
  drain_and_go_on(run);
}

void some_work(Recording& run) {
  for (size_t i = run.between(2, 7); i > 0; --i) {
    run.log.append(run.between(60, 400), 3);
    if (run.random() % 3 != 0) run.run();
    if (run.random() % 4 == 0) run.tell_position();
  }
  run.log.settle(static_cast<int>(run.random() % 2), 1, run.between(1, 25));
  if (run.random() % 2 == 0) run.log.log->request_snapshot();
  run.run();
  run.log.append(100);  // never committed
}

void killed(Recording& run) {
  for (int life = 0; life < 5; ++life) {
    some_work(run);
    if (!run.restart()) return;
  }
}

void power_cuts(Recording& run) {
  for (int life = 0; life < 5; ++life) {
    some_work(run);
    if (!run.power_cut()) return;
  }
}

}  // namespace

const Scenario kScenarios[] = {
    {"first start", no_options, first_start},
    {"commits", no_options, commits},
    {"rotation", no_options, rotation},
    {"snapshots and trimming", no_options, snapshots},
    {"compaction",
     [](Recording& run) {
       run.log.options.segment_bytes = 8'192;
       run.log.options.batch_bytes_max = 256;
     },
     compaction},
    {"quarantine", no_options, quarantine},
    {"full store", [](Recording& run) { run.log.options.bytes_max = 20'000; }, full_store},
    {"full disk", [](Recording& run) { run.log.disk.capacity = 20'000; }, full_disk},
    {"killed and restarted", no_options, killed},
    {"power cuts", no_options, power_cuts},
};
const size_t kScenarioCount = sizeof kScenarios / sizeof kScenarios[0];

}  // namespace sink::storage::crash

// What EventLog's tasks carry; shared by its source files only.
#pragma once

#include "storage/event_log.h"

namespace sink::storage {

// Everything a commit needs on the sync thread, and what it brings back.
struct EventLog::Commit {
  explicit Commit(OpenBatch open) : batch(std::move(open)) {}
  OpenBatch batch;
  StoreId store;
  BatchHeader header;
  SegmentId segment = 0;
  std::string name;
  uint64_t offset = 0;
  bool rotate = false;
  SegmentHeader segment_header;
  std::optional<FileHandle> file;
  std::optional<FileHandle> left_behind;  // the segment before, with unsynced batches
  bool sync = true;
  Position end_position = 0;

  std::shared_ptr<Block> block;
  uint32_t crc = 0;
  uint64_t took_us = 0;
  std::optional<DiskError> error;

  void run(Disk& disk) {
    const uint64_t start = disk.clock_us();
    block = batch.builder.finish(store, header, crc);
    if (auto done = write(disk); !done) error = done.error();
    took_us = disk.clock_us() - start;
  }

 private:
  DiskResult<void> write(Disk& disk) {
    if (left_behind) {
      if (auto done = disk.sync(*left_behind); !done) return done;
    }
    if (rotate) {
      if (auto done = disk.rename(kSpareName, name); !done) return done;
    }
    if (!file) {
      auto opened = disk.open(name, OpenMode::write);
      if (!opened) return tl::unexpected(opened.error());
      file = *opened;
    }
    if (rotate) {  // one write: the header shares a sector with the batch that it vouches for
      const std::string head = encode_segment_header(store, segment_header) + block->bytes;
      if (auto done = disk.write(*file, 0, head); !done) return done;
    } else {
      if (auto done = disk.write(*file, offset, block->bytes); !done) return done;
    }
    if (sync || rotate) {
      if (auto done = disk.sync(*file); !done) return done;
    }
    if (rotate) return disk.sync_directory();
    return {};
  }
};

// Live events of one old segment on their way to the active one. All copies, and the record that
// ends them, lie behind the newest snapshot and in one segment: whoever recovers sees them all or
// starts from an index that knows them.
struct EventLog::Compaction {
  SegmentId from = 0;
  Position first = 0;
  Position end = 0;
  std::vector<std::pair<Position, std::string>> copies;  // record payloads, by position
  size_t next = 0;                                       // first copy not yet appended
  std::vector<Anchor> anchors;                           // batches that hold copies, once committed
  uint64_t end_offset = 0;                               // behind the last of them
};

}  // namespace sink::storage

// A disk in the middle of its work: what is on the medium, what is only in the cache, and every
// image that a power cut may leave now. Changes go in in the order they were made. A file's write
// that nobody waited for may have reached the medium with any of its sectors of 512 bytes, and
// grown the file to any length that it passed; of the unsynced changes of names any subset may
// have. Where that is more than a cap allows, a random choice by the seed is taken.
#pragma once

#include <functional>
#include <map>
#include <random>

#include "test/crash/disk_image.h"

namespace sink::storage::crash {

class DiskState {
 public:
  explicit DiskState(uint64_t seed) : random_(seed) { names_.possible.emplace_back(); }
  DiskState(const Image& image, uint64_t seed);  // all of it on the medium

  void apply(const Change& change);
  // What the running kernel sees.
  Image cached() const;
  // Calls `visit` for every image a power cut may leave, until it says false. Repeats are possible.
  void images(const std::function<bool(const Image&)>& visit);

 private:
  static constexpr size_t kContentsMax = 48;  // of one file
  static constexpr size_t kDirectoriesMax = 24;
  static constexpr size_t kImagesMax = 256;  // at one moment

  using Directory = std::vector<Link>;  // by name
  struct File {
    ContentRef cached;
    std::vector<ContentRef> possible;  // never empty; all the same once synced
  };
  struct Names {
    Directory cached;
    std::vector<Directory> possible;
  };

  void write(File& file, const Change& change);
  void resize(File& file, uint64_t size);
  void change_names(const Change& change);
  void add_tears(const Content& before, const Change& change, std::vector<ContentRef>& out);
  void images_of(const Directory& names, size_t images_max,
                 const std::function<bool(const Image&)>& visit);
  template <class T>
  void thin_out(std::vector<T>& all, size_t most);

  std::mt19937_64 random_;
  std::map<FileId, File> files_;
  Names names_;
};

}  // namespace sink::storage::crash

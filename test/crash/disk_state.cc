#include "test/crash/disk_state.h"

#include <algorithm>

namespace sink::storage::crash {
namespace {

using Operation = SimulatedDisk::Operation;

constexpr uint64_t kSectorBytes = 512;   // what a disk writes whole
constexpr uint64_t kAllSubsetsUpTo = 4;  // sectors; of more only tears, holes and some others
constexpr int kRandomSubsets = 6;

// The write as the medium got it: the sectors in `mask`, counted from the first one touched.
std::string torn(const std::string& before, const Change& change, uint64_t mask) {
  std::string bytes = before;
  const std::string& written = *change.bytes;
  const uint64_t end = change.at + written.size();
  const uint64_t first = change.at / kSectorBytes;
  for (uint64_t at = change.at; at < end;) {
    const uint64_t stop = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
    if ((mask >> std::min<uint64_t>(at / kSectorBytes - first, 63) & 1) != 0) {
      if (bytes.size() < stop) bytes.resize(stop, '\0');
      bytes.replace(at, stop - at, written, at - change.at, stop - at);
    }
    at = stop;
  }
  return bytes;
}

void put(std::vector<Link>& names, std::string_view name, FileId file) {
  Link link = make_link(name, file);
  const auto place = std::lower_bound(
      names.begin(), names.end(), name,
      [](const Link& other, std::string_view wanted) { return *other.name < wanted; });
  if (place != names.end() && *place->name == name) {
    *place = std::move(link);
  } else {
    names.insert(place, std::move(link));
  }
}

void drop(std::vector<Link>& names, std::string_view name) {
  std::erase_if(names, [&](const Link& link) { return *link.name == name; });
}

std::vector<Link> renamed(std::vector<Link> names, const Change& change) {
  switch (change.operation) {
    case Operation::open:
      put(names, change.name, change.file);
      break;
    case Operation::remove:
      drop(names, change.name);
      break;
    case Operation::rename:
      drop(names, change.name);
      put(names, change.to, change.file);
      break;
    case Operation::read:
    case Operation::write:
    case Operation::sync:
    case Operation::allocate:
    case Operation::truncate:
    case Operation::sync_directory:
    case Operation::list:
      break;
  }
  return names;
}

bool same_names(const std::vector<Link>& one, const std::vector<Link>& other) {
  return std::equal(
      one.begin(), one.end(), other.begin(), other.end(),
      [](const Link& a, const Link& b) { return a.name_hash == b.name_hash && a.file == b.file; });
}

bool contains(const std::vector<ContentRef>& all, const Content& wanted) {
  return std::any_of(all.begin(), all.end(),
                     [&](const ContentRef& one) { return one->hash == wanted.hash; });
}

}  // namespace

DiskState::DiskState(const Image& image, uint64_t seed) : random_(seed) {
  for (const ImageFile& file : image.files) {
    names_.cached.push_back(file.link);
    files_[file.link.file] = {file.content, {file.content}};
  }
  names_.possible.assign(1, names_.cached);
}

// Keeps the first and the last, and a random choice of the others.
template <class T>
void DiskState::thin_out(std::vector<T>& all, size_t most) {
  if (all.size() <= most) return;
  std::shuffle(all.begin() + 1, all.end() - 1, random_);
  std::swap(all[most - 1], all.back());
  all.resize(most);
}

void DiskState::add_tears(const Content& before, const Change& change,
                          std::vector<ContentRef>& out) {
  const uint64_t end = change.at + change.bytes->size();
  const uint64_t sectors = (end - 1) / kSectorBytes - change.at / kSectorBytes + 1;
  const uint64_t all = sectors >= 64 ? UINT64_MAX : (uint64_t{1} << sectors) - 1;
  const auto add = [&](uint64_t mask) {
    std::string bytes = torn(before.bytes, change, mask & all);
    std::string longer;
    if (bytes.size() < end) {  // the new length reached the medium, these bytes did not
      longer = bytes;
      longer.resize(end, '\0');
    }
    for (std::string* one : {&bytes, &longer}) {
      if (one == &longer && longer.empty()) continue;
      auto content = std::make_shared<const Content>(std::move(*one));
      if (!contains(out, *content)) out.push_back(std::move(content));
    }
  };
  if (sectors <= kAllSubsetsUpTo) {
    for (uint64_t mask = 0; mask <= all; ++mask) add(mask);
    return;
  }
  add(0);
  for (uint64_t kept = 1; kept < std::min<uint64_t>(sectors, 64); ++kept) {
    add((uint64_t{1} << kept) - 1);  // torn behind `kept`
    add(~((uint64_t{1} << kept) - 1));
    add(~(uint64_t{1} << kept));
  }
  for (int i = 0; i < kRandomSubsets; ++i) add(random_());
  add(all);
}

void DiskState::write(File& file, const Change& change) {
  file.cached = std::make_shared<const Content>(torn(file.cached->bytes, change, UINT64_MAX));
  if (change.bytes->empty()) return;
  std::vector<ContentRef> before = std::move(file.possible);
  file.possible.clear();
  for (const ContentRef& one : before) add_tears(*one, change, file.possible);
  std::erase_if(file.possible, [&](const auto& one) { return one->hash == file.cached->hash; });
  file.possible.push_back(file.cached);
  thin_out(file.possible, kContentsMax);
}

void DiskState::resize(File& file, uint64_t size) {
  const auto resized = [&](const Content& content) {
    std::string bytes = content.bytes;
    bytes.resize(static_cast<size_t>(size), '\0');
    return std::make_shared<const Content>(std::move(bytes));
  };
  file.cached = resized(*file.cached);
  const size_t count = file.possible.size();
  for (size_t i = 0; i < count; ++i) {
    auto content = resized(*file.possible[i]);
    if (!contains(file.possible, *content)) file.possible.push_back(std::move(content));
  }
  thin_out(file.possible, kContentsMax);
}

void DiskState::change_names(const Change& change) {
  names_.cached = renamed(std::move(names_.cached), change);
  auto& possible = names_.possible;
  const size_t count = possible.size();
  for (size_t i = 0; i < count; ++i) {
    auto changed = renamed(possible[i], change);
    const auto same = [&](const Directory& other) { return same_names(changed, other); };
    if (std::none_of(possible.begin(), possible.end(), same))
      possible.push_back(std::move(changed));
  }
  thin_out(possible, kDirectoriesMax);
}

void DiskState::apply(const Change& change) {
  switch (change.operation) {
    case Operation::write:
      return write(files_.at(change.file), change);
    case Operation::allocate:
    case Operation::truncate:
      return resize(files_.at(change.file), change.at);
    case Operation::sync: {
      File& file = files_.at(change.file);
      file.possible.assign(1, file.cached);
      return;
    }
    case Operation::sync_directory:
      names_.possible.assign(1, names_.cached);
      return;
    case Operation::open: {
      const auto empty = std::make_shared<const Content>("");
      files_[change.file] = {empty, {empty}};
      return change_names(change);
    }
    case Operation::rename:
    case Operation::remove:
      return change_names(change);
    case Operation::read:
    case Operation::list:
      return;
  }
}

Image DiskState::cached() const {
  Image image;
  for (const Link& link : names_.cached) image.files.push_back({link, files_.at(link.file).cached});
  return image;
}

void DiskState::images(const std::function<bool(const Image&)>& visit) {
  for (const Directory& names : names_.possible)
    images_of(names, kImagesMax / names_.possible.size() + 1, visit);
}

// Counts through all combinations of the files' contents, or draws some where they are too many.
void DiskState::images_of(const Directory& names, size_t images_max,
                          const std::function<bool(const Image&)>& visit) {
  Image image;
  std::vector<const File*> files;
  double combinations = 1;
  for (const Link& link : names) {
    files.push_back(&files_.at(link.file));
    image.files.push_back({link, files.back()->possible.front()});
    combinations *= static_cast<double>(files.back()->possible.size());
  }
  if (combinations > static_cast<double>(images_max)) {
    for (size_t drawn = 0; drawn < images_max; ++drawn) {
      for (size_t i = 0; i < files.size(); ++i) {
        const auto& possible = files[i]->possible;
        image.files[i].content = drawn == 0   ? possible.front()
                                 : drawn == 1 ? files[i]->cached
                                              : possible[random_() % possible.size()];
      }
      if (!visit(image)) return;
    }
    return;
  }
  std::vector<size_t> digits(files.size(), 0);
  for (;;) {
    if (!visit(image)) return;
    size_t i = 0;
    for (; i < files.size(); ++i) {
      digits[i] = (digits[i] + 1) % files[i]->possible.size();
      image.files[i].content = files[i]->possible[digits[i]];
      if (digits[i] != 0) break;
    }
    if (i == files.size()) return;
  }
}

}  // namespace sink::storage::crash

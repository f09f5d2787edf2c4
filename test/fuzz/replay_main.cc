// Runs a fuzz target over its committed corpus without a fuzzer: every file, every prefix of the
// small ones, and every byte of those changed; with --alone only the files, for targets whose every
// input is a whole life of a broker. Not responsible for finding new inputs.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kSmallBytes = 600;

// From a block of exact size, so that a sanitizer sees a read past the end.
void run(const std::string& input) {
  const std::unique_ptr<uint8_t[]> block(new uint8_t[input.size()]);
  input.copy(reinterpret_cast<char*>(block.get()), input.size());
  LLVMFuzzerTestOneInput(block.get(), input.size());
}

size_t run_with_neighbours(const std::string& input) {
  size_t runs = 1;
  run(input);
  if (input.size() > kSmallBytes) return runs;
  for (size_t size = 0; size < input.size(); ++size, ++runs) run(input.substr(0, size));
  for (size_t at = 0; at < input.size(); ++at) {
    for (const unsigned flip : {0x01u, 0x40u, 0x80u, 0xffu}) {
      std::string changed = input;
      changed[at] = static_cast<char>(static_cast<uint8_t>(changed[at]) ^ flip);
      run(changed);
      ++runs;
    }
  }
  return runs;
}

}  // namespace

int main(int argc, char** argv) {
  const bool alone = argc == 3 && std::string_view(argv[2]) == "--alone";
  if (argc != 2 && !alone) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER [--alone]\n", argv[0]);
    return 64;
  }
  std::set<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) paths.insert(entry.path());
  size_t runs = 0;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
      return 1;
    }
    const std::string input{std::istreambuf_iterator<char>(file), {}};
    if (alone) run(input);
    runs += alone ? 1 : run_with_neighbours(input);
  }
  std::printf("%zu corpus files, %zu runs\n", paths.size(), runs);
  if (!paths.empty()) return 0;
  std::fprintf(stderr, "%s: no corpus there, nothing was tested\n", argv[1]);
  return 1;
}

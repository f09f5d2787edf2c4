#include "daemon/last_words.h"

#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>

#include "daemon/exit_status.h"
#include "tls/allocation.h"

namespace sink::daemon {
namespace {

// No allocation, no lock, no destructor: only what a signal handler may do.
[[noreturn]] void end(const char* words, ExitStatus status) {
  // The status says it too, should nobody take the line.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, words, std::strlen(words));
  ::_exit(code(status));
}

[[noreturn]] void out_of_memory() {
  end("sinkd: out of memory; what was acknowledged is on the disk, the next start recovers it\n",
      ExitStatus::out_of_resources);
}

void on_abort(int) {
  end("sinkd: internal error, or a library gave up for want of descriptors or memory; what was "
      "acknowledged is on the disk, the next start recovers it\n",
      ExitStatus::internal_error);
}

void* allocated(void* memory, size_t size) {
  if (memory == nullptr && size != 0) out_of_memory();
  return memory;
}

void* allocate(size_t size) { return allocated(std::malloc(size), size); }
void* reallocate(void* old, size_t size) { return allocated(std::realloc(old, size), size); }
void* allocate_zeros(size_t count, size_t size) {
  return allocated(std::calloc(count, size), count * size);
}

bool core_files_wanted() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur > 0;
}

}  // namespace

void prepare_last_words() {
  std::set_new_handler(out_of_memory);
  uv_replace_allocator(allocate, reallocate, allocate_zeros, std::free);
  if (!tls::end_when_memory_runs_out(out_of_memory)) std::abort();  // called too late: a mistake
  if (!core_files_wanted()) std::signal(SIGABRT, on_abort);
}

}  // namespace sink::daemon

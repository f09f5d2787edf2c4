// A library to preload into sinkd: counts its calls of libc, and fails or holds back those that a
// test has chosen. Responsible for that alone; which call, when, and with what errno is written by
// the test, at any moment, into a small file that both map (SINKD_FAULTS; fault_plan.py has the
// other side). Invariant: a call without a slot in that file is passed on untouched.
//
// The wrappers carry the libc names through asm labels, so that no header's declaration conflicts;
// of variadic functions they take the most arguments that callers give.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

namespace {

// As in fault_plan.py.
enum class Mode : int32_t { off = 0, once = 1, always = 2, hold = 3, shorten = 4 };

// One call that is counted; the file is an array of these.
struct Slot {
  char name[24];
  uint64_t calls;   // made so far
  uint64_t from;    // the number of the first call that is struck
  uint64_t struck;  // failed, shortened, or held back
  uint64_t held;    // being held back now
  int32_t error;
  Mode mode;
};
static_assert(sizeof(Slot) == 64);

constexpr size_t kSlots = 64;
constexpr size_t kPlaces = 1 << 16;

// Behind the slots: of each place that allocates, told by its callers, the number of the first
// allocation that it made.
struct Places {
  uint64_t wanted;
  uint64_t count;
  uint64_t numbers[kPlaces];
};

struct File {
  Slot slots[kSlots];
  Places places;
};
Slot* slots = nullptr;
Places* places = nullptr;

__attribute__((constructor)) void map_slots() {
  const char* path = std::getenv("SINKD_FAULTS");
  if (path == nullptr) return;
  const auto fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
  void* mapped = ::mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || mapped == MAP_FAILED) std::abort();  // a test that strikes nothing proves nothing
  ::syscall(SYS_close, fd);
  places = &static_cast<File*>(mapped)->places;
  slots = static_cast<File*>(mapped)->slots;
}

// Other libraries' constructors may call before this one's has run.
Slot* find(const char* name) {
  if (slots == nullptr) map_slots();
  for (size_t i = 0; slots != nullptr && i < kSlots; ++i)
    if (std::strcmp(slots[i].name, name) == 0) return &slots[i];
  return nullptr;
}

Mode mode_of(const Slot& slot) {
  Mode mode;
  __atomic_load(&slot.mode, &mode, __ATOMIC_ACQUIRE);
  return mode;
}

void hold(Slot& slot) {
  __atomic_add_fetch(&slot.held, 1, __ATOMIC_SEQ_CST);
  const timespec moment{0, 1'000'000};
  while (mode_of(slot) == Mode::hold) ::syscall(SYS_nanosleep, &moment, nullptr);
  __atomic_sub_fetch(&slot.held, 1, __ATOMIC_SEQ_CST);
}

// Counts a call and says what is to happen to it: off, once (fail it), or shorten.
Mode strike(Slot* slot) {
  if (slot == nullptr) return Mode::off;
  const uint64_t number = __atomic_add_fetch(&slot->calls, 1, __ATOMIC_SEQ_CST);
  Mode mode = mode_of(*slot);
  if (mode == Mode::off || number < slot->from) return Mode::off;
  Mode off = Mode::off;
  if (mode == Mode::once &&
      !__atomic_compare_exchange(&slot->mode, &mode, &off, false, __ATOMIC_SEQ_CST,
                                 __ATOMIC_SEQ_CST))
    return Mode::off;
  __atomic_add_fetch(&slot->struck, 1, __ATOMIC_SEQ_CST);
  if (mode == Mode::hold) {
    hold(*slot);
    return Mode::off;
  }
  errno = slot->error;
  return mode == Mode::shorten ? Mode::shorten : Mode::once;
}

// The pipes and eventfds by which a process wakes itself do not fail.
bool is_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  const int before = errno;
  const bool yes = ::syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
  errno = before;
  return yes;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// Initialised more than once by racing threads, to the same value: built without guards.
#define FAULT_WRAP(failure, result, name, slot_name, parameters, arguments)      \
  extern "C" result fault_##name parameters __asm__(#name);                      \
  extern "C" result fault_##name parameters {                                    \
    static const auto real = next<result(*) parameters>(#name);                  \
    static Slot* const slot = find(slot_name);                                   \
    if (strike(slot) != Mode::off) return failure;                               \
    return real arguments;                                                       \
  }
#define FAULT_CALL(result, name, slot_name, parameters, arguments) \
  FAULT_WRAP(static_cast<result>(-1), result, name, slot_name, parameters, arguments)
#define FAULT_POINTER(name, slot_name, parameters, arguments) \
  FAULT_WRAP(nullptr, void*, name, slot_name, parameters, arguments)
// Moves bytes: may also do half of what was asked. Only calls that are `concerned` are counted.
#define FAULT_BYTES_IF(concerned, name, slot_name, parameters, arguments) \
  extern "C" ssize_t fault_##name parameters __asm__(#name);              \
  extern "C" ssize_t fault_##name parameters {                            \
    static const auto real = next<ssize_t(*) parameters>(#name);          \
    static Slot* const slot = find(slot_name);                            \
    const Mode mode = (concerned) ? strike(slot) : Mode::off;             \
    if (mode == Mode::once) return -1;                                    \
    if (mode == Mode::shorten && size > 1) size /= 2;                     \
    return real arguments;                                                \
  }
#define FAULT_BYTES(name, slot_name, parameters, arguments) \
  FAULT_BYTES_IF(true, name, slot_name, parameters, arguments)

#define PATH const char* path
FAULT_CALL(int, open, "open", (PATH, int flags, unsigned mode), (path, flags, mode))
FAULT_CALL(int, open64, "open", (PATH, int flags, unsigned mode), (path, flags, mode))
FAULT_CALL(int, openat, "openat", (int at, PATH, int flags, unsigned mode), (at, path, flags, mode))
FAULT_CALL(int, openat64, "openat", (int at, PATH, int flags, unsigned mode),
           (at, path, flags, mode))
FAULT_POINTER(fopen, "fopen", (PATH, const char* how), (path, how))
FAULT_POINTER(fopen64, "fopen", (PATH, const char* how), (path, how))
FAULT_POINTER(fdopendir, "fdopendir", (int fd), (fd))
FAULT_POINTER(readdir, "readdir", (void* directory), (directory))
FAULT_POINTER(readdir64, "readdir", (void* directory), (directory))
FAULT_BYTES(pread, "pread", (int fd, void* to, size_t size, off_t at), (fd, to, size, at))
FAULT_BYTES(pread64, "pread", (int fd, void* to, size_t size, off_t at), (fd, to, size, at))
FAULT_BYTES(pwrite, "pwrite", (int fd, const void* from, size_t size, off_t at),
            (fd, from, size, at))
FAULT_BYTES(pwrite64, "pwrite", (int fd, const void* from, size_t size, off_t at),
            (fd, from, size, at))
FAULT_CALL(int, fdatasync, "fdatasync", (int fd), (fd))
FAULT_CALL(int, fsync, "fsync", (int fd), (fd))
FAULT_CALL(int, fallocate, "fallocate", (int fd, int mode, off_t at, off_t size),
           (fd, mode, at, size))
FAULT_CALL(int, fallocate64, "fallocate", (int fd, int mode, off_t at, off_t size),
           (fd, mode, at, size))
FAULT_CALL(int, ftruncate, "ftruncate", (int fd, off_t size), (fd, size))
FAULT_CALL(int, ftruncate64, "ftruncate", (int fd, off_t size), (fd, size))
FAULT_CALL(int, renameat, "renameat", (int a, PATH, int b, const char* to), (a, path, b, to))
FAULT_CALL(int, unlinkat, "unlinkat", (int at, PATH, int flags), (at, path, flags))
FAULT_CALL(int, unlink, "unlink", (PATH), (path))
FAULT_CALL(int, mkdir, "mkdir", (PATH, unsigned mode), (path, mode))
FAULT_CALL(int, flock, "flock", (int fd, int operation), (fd, operation))
FAULT_CALL(int, fstat, "fstat", (int fd, void* out), (fd, out))
FAULT_CALL(int, fstat64, "fstat", (int fd, void* out), (fd, out))
FAULT_CALL(int, lstat64, "lstat", (PATH, void* out), (path, out))
FAULT_CALL(int, fstatvfs64, "fstatvfs", (int fd, void* out), (fd, out))
FAULT_CALL(int, chmod, "chmod", (PATH, unsigned mode), (path, mode))
FAULT_CALL(int, fchmod, "fchmod", (int fd, unsigned mode), (fd, mode))
FAULT_CALL(ssize_t, getrandom, "getrandom", (void* to, size_t size, unsigned flags),
           (to, size, flags))

FAULT_CALL(int, socket, "socket", (int domain, int type, int protocol), (domain, type, protocol))
FAULT_CALL(int, bind, "bind", (int fd, const void* name, unsigned size), (fd, name, size))
FAULT_CALL(int, listen, "listen", (int fd, int backlog), (fd, backlog))
FAULT_CALL(int, connect, "connect", (int fd, const void* name, unsigned size), (fd, name, size))
FAULT_CALL(int, accept4, "accept4", (int fd, void* name, void* size, int flags),
           (fd, name, size, flags))
FAULT_CALL(int, shutdown, "shutdown", (int fd, int how), (fd, how))
FAULT_CALL(int, getsockopt, "getsockopt", (int fd, int level, int name, void* to, void* size),
           (fd, level, name, to, size))
FAULT_CALL(int, setsockopt, "setsockopt",
           (int fd, int level, int name, const void* from, unsigned size),
           (fd, level, name, from, size))
FAULT_CALL(int, getsockname, "getsockname", (int fd, void* name, void* size), (fd, name, size))
FAULT_CALL(int, getpeername, "getpeername", (int fd, void* name, void* size), (fd, name, size))
FAULT_CALL(int, epoll_create1, "epoll_create1", (int flags), (flags))
FAULT_CALL(int, epoll_ctl, "epoll_ctl", (int epoll, int operation, int fd, void* event),
           (epoll, operation, fd, event))
FAULT_CALL(int, epoll_wait, "epoll_wait", (int epoll, void* events, int count, int timeout),
           (epoll, events, count, timeout))
FAULT_CALL(int, epoll_pwait, "epoll_wait",
           (int epoll, void* events, int count, int timeout, const void* mask),
           (epoll, events, count, timeout, mask))
FAULT_CALL(int, eventfd, "eventfd", (unsigned value, int flags), (value, flags))
FAULT_CALL(int, pipe2, "pipe2", (int* ends, int flags), (ends, flags))
FAULT_CALL(int, ioctl, "ioctl", (int fd, unsigned long request, void* argument),
           (fd, request, argument))
FAULT_CALL(int, fcntl, "fcntl", (int fd, int command, void* argument), (fd, command, argument))
FAULT_CALL(int, fcntl64, "fcntl", (int fd, int command, void* argument), (fd, command, argument))
FAULT_BYTES_IF(is_socket(fd), read, "read", (int fd, void* to, size_t size), (fd, to, size))
FAULT_BYTES_IF(is_socket(fd), write, "write", (int fd, const void* from, size_t size),
               (fd, from, size))
FAULT_CALL(ssize_t, writev, "writev", (int fd, const void* parts, int count), (fd, parts, count))
FAULT_CALL(ssize_t, readv, "readv", (int fd, const void* parts, int count), (fd, parts, count))
FAULT_BYTES(recv, "recv", (int fd, void* to, size_t size, int flags), (fd, to, size, flags))
FAULT_BYTES(send, "send", (int fd, const void* from, size_t size, int flags),
            (fd, from, size, flags))
FAULT_CALL(ssize_t, sendmsg, "sendmsg", (int fd, const void* message, int flags),
           (fd, message, flags))
FAULT_CALL(ssize_t, recvmsg, "recvmsg", (int fd, void* message, int flags), (fd, message, flags))
// Says its error by what it returns.
FAULT_WRAP(slot->error, int, pthread_create, "pthread_create",
           (void* thread, const void* attributes, void* (*run)(void*), void* argument),
           (thread, attributes, run, argument))

// Memory: libc's own entrances, for looking the next ones up would itself allocate. All of it has
// one slot: the number of an allocation is its number among all kinds.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {

constexpr int kCallersMax = 8;
uint64_t seen[2 * kPlaces];  // hashes, open addressing; 0: free
bool seen_busy = false;
__attribute__((tls_model("initial-exec"))) thread_local bool looking = false;

struct Trace {
  uint64_t hash = 0xcbf29ce484222325;
  int callers = 0;
};

_Unwind_Reason_Code add_caller(_Unwind_Context* context, void* to) {
  auto* trace = static_cast<Trace*>(to);
  trace->hash = (trace->hash ^ _Unwind_GetIP(context)) * 0x100000001b3;
  return ++trace->callers == kCallersMax ? _URC_END_OF_STACK : _URC_NO_REASON;
}

void note_place(uint64_t number) {
  if (looking) return;  // unwinding allocates, the first time
  looking = true;
  Trace trace;
  _Unwind_Backtrace(add_caller, &trace);
  while (__atomic_test_and_set(&seen_busy, __ATOMIC_ACQUIRE)) {
  }
  uint64_t at = trace.hash % (2 * kPlaces);
  while (seen[at] != 0 && seen[at] != trace.hash) at = (at + 1) % (2 * kPlaces);
  if (seen[at] == 0 && places->count < kPlaces) {
    seen[at] = trace.hash;
    places->numbers[places->count++] = number;
  }
  __atomic_clear(&seen_busy, __ATOMIC_RELEASE);
  looking = false;
}

bool memory_is_out() {
  static Slot* const slot = find("malloc");
  if (slot != nullptr && places->wanted != 0) note_place(slot->calls + 1);
  return strike(slot) != Mode::off;
}

}  // namespace

#define FAULT_MEMORY(name, parameters, call)                  \
  extern "C" void* fault_##name parameters __asm__(#name);    \
  extern "C" void* fault_##name parameters {                  \
    return memory_is_out() ? nullptr : call;                  \
  }
FAULT_MEMORY(malloc, (size_t size), __libc_malloc(size))
FAULT_MEMORY(calloc, (size_t count, size_t size), __libc_calloc(count, size))
FAULT_MEMORY(realloc, (void* old, size_t size), __libc_realloc(old, size))
FAULT_MEMORY(aligned_alloc, (size_t alignment, size_t size), __libc_memalign(alignment, size))

#include "tls/allocation.h"

#include <openssl/crypto.h>

#include <cstdlib>

namespace sink::tls {
namespace {

void (*end_of_memory)() = nullptr;

void* allocated(void* memory, size_t size) {
  if (memory == nullptr && size != 0) end_of_memory();
  return memory;
}

// As OpenSSL's own: nothing for zero bytes.
void* allocate(size_t size, const char*, int) {
  return size == 0 ? nullptr : allocated(std::malloc(size), size);
}

void release(void* memory, const char*, int) { std::free(memory); }

void* reallocate(void* old, size_t size, const char* file, int line) {
  if (old == nullptr) return allocate(size, file, line);
  if (size != 0) return allocated(std::realloc(old, size), size);
  release(old, file, line);
  return nullptr;
}

}  // namespace

bool end_when_memory_runs_out(void (*end)()) {
  end_of_memory = end;
  return CRYPTO_set_mem_functions(allocate, reallocate, release) == 1;
}

}  // namespace sink::tls

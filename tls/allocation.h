// What happens when OpenSSL gets no memory. By itself it reports an error and goes on, but an
// allocation that fails once inside its caches of algorithms may leave every later handshake
// failing: a server that runs and lets nobody in.
#pragma once

namespace sink::tls {

// From now on OpenSSL's allocations succeed, or `end` is called and does not return. Once, before
// any other use of OpenSSL; false: something has used it already, nothing is changed.
[[nodiscard]] bool end_when_memory_runs_out(void (*end)());

}  // namespace sink::tls

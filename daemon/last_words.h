// How the process ends when it cannot go on: one line on standard error and an exit status that
// sinkd(8) names. For memory that has run out, and for libraries that abort. Not for anything that
// can be handled. Nothing is lost by it: what was acknowledged is on the disk.
#pragma once

namespace sink::daemon {

// Once, before the first call of libuv or OpenSSL. From then on operator new and the allocations of
// both succeed or end the process with ExitStatus::out_of_resources, and abort() ends it with
// ExitStatus::internal_error; where core files are allowed, abort() leaves one instead.
void prepare_last_words();

}  // namespace sink::daemon

// What must hold for a store that something has happened to: it opens, gives what was promised,
// gives the same again, and is of use. Not responsible for what happened to it.
#pragma once

#include "test/unit/storage/log_fixture.h"

namespace sink::storage::crash {

// `log` is closed and knows what was appended and promised. Empty: all is well.
std::string check_aftermath(test::LogFixture& log);

}  // namespace sink::storage::crash

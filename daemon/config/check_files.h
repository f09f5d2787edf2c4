// Whether the files that a configuration names are there and of the right kind.
// Responsible for a look from outside: presence, permission, PEM label. Whether a certificate is
// valid and fits its key is the tls layer's affair. Invariant: changes nothing on disk.
#pragma once

#include "daemon/config/config.h"
#include "daemon/config/config_error.h"

namespace sink::config {

// All that is wrong with the certificate, key, CA and CRL files of all listeners and uplinks, each
// placed at the key that names the file. For `sinkd --check`, at start and before a reload.
[[nodiscard]] ConfigErrors check_files(const Config& config);

}  // namespace sink::config

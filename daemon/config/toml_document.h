// TOML text to a toml++ table, with every syntax error found in one pass and no exception let out.
// Responsible for syntax only; the meaning of keys is table_reader.h's affair.
// Invariant: lines and columns of the table are those of the text, also after an error.
#pragma once

#include <toml++/toml.h>

#include <string>
#include <string_view>

#include "daemon/config/config_error.h"

namespace sink::config {

// Appends each syntax error to `errors` with `label` as its file. After an error the line it stands
// on (a table header: the whole table) is left out and reading goes on; when that leads nowhere,
// the table returned is empty.
[[nodiscard]] toml::table parse_document(std::string_view text, const std::string& label,
                                         ConfigErrors& errors);

}  // namespace sink::config

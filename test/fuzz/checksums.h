// Helps a fuzzer's input past the checksums: after bytes of a store have been changed, these write
// the checksums that the changed bytes would have had. Not responsible for changing anything else.
#pragma once

#include <string>

#include "storage/format.h"

namespace sink::test {

void mend_store_file(std::string& bytes);
void mend_snapshot(const storage::StoreId& store, std::string& bytes);
// The segment's header and every batch that can be found by its magic. `chain`: each batch also
// names its predecessor's checksum; otherwise only what stands under its own checksums is mended.
void mend_segment(const storage::StoreId& store, std::string& bytes, bool chain);

}  // namespace sink::test

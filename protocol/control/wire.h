// Verified access to one FlatBuffer of sink.fbs, and the fields that several tables share.
// Private to this folder. Invariant: nothing is read before the verifier has accepted all of it.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "protocol/bytes.h"
#include "protocol/control/sink_generated.h"
#include "protocol/control/uuid.h"

namespace sink::protocol {

using Builder = flatbuffers::FlatBufferBuilder;
using ByteVector = flatbuffers::Vector<uint8_t>;

// A copy at an aligned address, because a frame's body starts anywhere; null root: not a `Table`.
template <class Table>
class Verified {
 public:
  explicit Verified(Bytes body) : words_(new uint64_t[body.size() / 8 + 1]) {
    if (!body.empty()) std::memcpy(words_.get(), body.data(), body.size());  // data() may be null
    const auto* bytes = reinterpret_cast<const uint8_t*>(words_.get());
    flatbuffers::Verifier verifier(bytes, body.size(), kDepthMax, kTablesMax);
    if (verifier.VerifyBuffer<Table>(nullptr)) root_ = flatbuffers::GetRoot<Table>(bytes);
  }
  const Table* root() const { return root_; }

 private:
  static constexpr unsigned kDepthMax = 8;
  static constexpr unsigned kTablesMax = 96;  // a reply with kServicesFoundMax of them, and room
  std::unique_ptr<uint64_t[]> words_;
  const Table* root_ = nullptr;
};

inline std::string text_of(const flatbuffers::String* text) {
  return text == nullptr ? std::string() : text->str();
}
inline std::string bytes_of(const ByteVector* bytes) {
  if (bytes == nullptr) return {};
  return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}
inline flatbuffers::Offset<ByteVector> vector_of(Builder& builder, const Uuid& uuid) {
  return builder.CreateVector(uuid.data(), uuid.size());
}
inline bool read_uuid(const ByteVector* bytes, Uuid& out) {
  if (bytes == nullptr || bytes->size() != out.size()) return false;
  std::copy_n(bytes->data(), out.size(), out.begin());
  return true;
}
inline flatbuffers::Offset<ByteVector> vector_of(Builder& builder, Bytes bytes) {
  return builder.CreateVector(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}
// False: absent, empty, or longer than `bytes_max`.
inline bool read_name(const flatbuffers::String* text, size_t bytes_max, std::string& out) {
  if (text == nullptr || text->size() == 0 || text->size() > bytes_max) return false;
  out = text->str();
  return true;
}
template <class Table>
std::string finish(Builder& builder, flatbuffers::Offset<Table> root) {
  builder.Finish(root);
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

}  // namespace sink::protocol

#include "protocol/batch.h"

#include <zlib.h>

#include <algorithm>

namespace sink::protocol {
namespace {

// Bits of the first byte; the highest is always 0. Part of the format: never renumber.
constexpr uint8_t kCompressed = 0x40;
constexpr uint8_t kSameType = 0x20;
constexpr uint8_t kSameSchema = 0x10;
constexpr uint8_t kSameKeyLength = 0x08;
constexpr uint8_t kDeltaOffset = 0x04;
constexpr uint8_t kDeltaTimestamp = 0x02;
constexpr uint8_t kSameDataLength = 0x01;

constexpr int kGzipWindowBits = 15 + 16;  // zlib: 15 bits of window, 16 asks for the gzip wrapper

// A difference of two 64-bit numbers needs 65 bits once zigzagged, so 128 carry it.
__extension__ typedef unsigned __int128 Wide;  // the extension is meant

void append_delta(std::string& out, uint64_t previous, uint64_t value) {
  Wide zigzag = value >= previous ? Wide(value - previous) * 2 : Wide(previous - value) * 2 - 1;
  while (zigzag >= 0x80) {
    out.push_back(static_cast<char>(static_cast<uint8_t>(zigzag) | 0x80));
    zigzag >>= 7;
  }
  out.push_back(static_cast<char>(zigzag));
}

// Reads one zigzag delta and applies it to `value`; false where it ends early, is too long or
// leaves the 64-bit range.
bool apply_delta(Bytes& column, uint64_t& value) {
  Wide zigzag = 0;
  size_t used = 0;
  for (unsigned shift = 0;; shift += 7) {
    if (used == column.size() || used == kVarintBytesMax) return false;
    const auto byte = static_cast<uint8_t>(column[used++]);
    zigzag |= Wide(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  column.remove_prefix(used);
  const Wide magnitude = (zigzag + 1) / 2;
  const bool negative = (zigzag & 1) != 0;
  if (negative ? magnitude > value : magnitude > Wide(UINT64_MAX - value)) return false;
  value = negative ? value - static_cast<uint64_t>(magnitude)
                   : value + static_cast<uint64_t>(magnitude);
  return true;
}

// Empty where zlib cannot: out of memory, or a body beyond what it counts in one call.
std::string gzip(Bytes plain) {
  if (plain.size() > UINT32_MAX) return {};  // unreached: no test has 4 GiB to spare
  z_stream stream{};
  // unreached: only without memory
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindowBits, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return {};
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  // unreached: deflateBound() has told how much it needs, which zlib alone could break
  out.resize(status == Z_STREAM_END ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

tl::expected<std::string, DecodeError> gunzip(Bytes packed, size_t bytes_max) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindowBits) != Z_OK)  // unreached: only without memory
    return tl::unexpected(DecodeError::bad_compression);
  std::string out;
  char chunk[16 * 1024];
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  int status = Z_OK;
  while (status == Z_OK && out.size() <= bytes_max) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk);
    stream.avail_out = sizeof chunk;
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(chunk, sizeof chunk - stream.avail_out);
  }
  inflateEnd(&stream);
  if (out.size() > bytes_max) return tl::unexpected(DecodeError::too_large);
  if (status != Z_STREAM_END || stream.avail_in != 0)
    return tl::unexpected(DecodeError::bad_compression);
  return out;
}

template <class Field>
bool all_same(const std::vector<Event>& events, Field field) {
  return std::all_of(events.begin(), events.end(),
                     [&](const Event& e) { return field(e) == field(events.front()); });
}

uint8_t choose_flags(const std::vector<Event>& events) {
  uint8_t flags = kDeltaOffset | kDeltaTimestamp;
  if (all_same(events, [](const Event& e) { return e.event_type_id; })) flags |= kSameType;
  if (all_same(events, [](const Event& e) { return e.schema_version; })) flags |= kSameSchema;
  if (all_same(events, [](const Event& e) { return e.key.size(); })) flags |= kSameKeyLength;
  if (all_same(events, [](const Event& e) { return e.event_data.size(); }))
    flags |= kSameDataLength;
  return flags;
}

std::string encode_body(const std::vector<Event>& events, uint8_t flags) {
  std::string types, schemas, key_lengths, keys, offsets, timestamps, data_lengths, data;
  uint64_t offset = events.front().offset;
  uint64_t timestamp = events.front().timestamp;
  for (const Event& event : events) {
    append_varint(types, event.event_type_id);
    append_varint(schemas, event.schema_version);
    append_varint(key_lengths, event.key.size());
    keys += event.key;
    append_delta(offsets, offset, event.offset);
    append_delta(timestamps, timestamp, event.timestamp);
    append_varint(data_lengths, event.event_data.size());
    data += event.event_data;
    offset = event.offset;
    timestamp = event.timestamp;
  }
  std::string body;
  append_varint(body, events.size());
  if (!(flags & kSameType)) append_chunk(body, types);
  if (!(flags & kSameSchema)) append_chunk(body, schemas);
  if (!(flags & kSameKeyLength)) append_chunk(body, key_lengths);
  append_chunk(body, keys);
  append_chunk(body, offsets);
  append_chunk(body, timestamps);
  if (!(flags & kSameDataLength)) append_chunk(body, data_lengths);
  return body + data;
}

// The columns of a body, each consumed from the front as events are put together.
struct Columns {
  Bytes types, schemas, key_lengths, keys, offsets, timestamps, data_lengths, data;
};

bool take_varint(Bytes& column, uint64_t& value) {
  Cursor cursor(column);
  if (!cursor.varint(value)) return false;
  column = cursor.rest();
  return true;
}

bool take_text(Bytes& column, uint64_t length, std::string& text) {
  if (length > column.size()) return false;
  text = column.substr(0, static_cast<size_t>(length));
  column.remove_prefix(static_cast<size_t>(length));
  return true;
}

bool take_number(Bytes& column, bool delta, uint64_t& value) {
  return delta ? apply_delta(column, value) : take_varint(column, value);
}

struct Header {
  uint8_t flags = 0;
  uint64_t type = 0, schema = 0, key_length = 0, offset = 0, timestamp = 0, data_length = 0;
};

bool read_header(Cursor& cursor, Header& header) {
  Bytes first;
  if (!cursor.take(1, first)) return false;
  header.flags = static_cast<uint8_t>(first[0]);
  const auto read = [&](uint8_t flag, uint64_t& value) {
    return (header.flags & flag) == 0 || cursor.varint(value);
  };
  return read(kSameType, header.type) && read(kSameSchema, header.schema) &&
         read(kSameKeyLength, header.key_length) && read(kDeltaOffset, header.offset) &&
         read(kDeltaTimestamp, header.timestamp) && read(kSameDataLength, header.data_length);
}

bool read_columns(Cursor& cursor, uint8_t flags, Columns& columns) {
  const auto varying = [&](uint8_t flag, Bytes& column) {
    return (flags & flag) != 0 || cursor.chunk(column);
  };
  if (!varying(kSameType, columns.types) || !varying(kSameSchema, columns.schemas) ||
      !varying(kSameKeyLength, columns.key_lengths) || !cursor.chunk(columns.keys) ||
      !cursor.chunk(columns.offsets) || !cursor.chunk(columns.timestamps) ||
      !varying(kSameDataLength, columns.data_lengths))
    return false;
  columns.data = cursor.rest();
  return true;
}

bool read_event(Columns& columns, Header& at, Event& event) {
  if (!(at.flags & kSameType) && !take_varint(columns.types, at.type)) return false;
  if (!(at.flags & kSameSchema) && !take_varint(columns.schemas, at.schema)) return false;
  if (!(at.flags & kSameKeyLength) && !take_varint(columns.key_lengths, at.key_length))
    return false;
  if (!(at.flags & kSameDataLength) && !take_varint(columns.data_lengths, at.data_length))
    return false;
  if (!take_number(columns.offsets, at.flags & kDeltaOffset, at.offset) ||
      !take_number(columns.timestamps, at.flags & kDeltaTimestamp, at.timestamp))
    return false;
  event.event_type_id = at.type;
  event.schema_version = at.schema;
  event.offset = at.offset;
  event.timestamp = at.timestamp;
  return take_text(columns.keys, at.key_length, event.key) &&
         take_text(columns.data, at.data_length, event.event_data);
}

tl::expected<std::vector<Event>, DecodeError> decode_body(Bytes body, Header header,
                                                          const BatchLimits& limits) {
  Cursor cursor(body);
  uint64_t count = 0;
  if (!cursor.varint(count)) return tl::unexpected(cursor.error());
  if (count > limits.events_max) return tl::unexpected(DecodeError::too_large);
  Columns columns;
  if (!read_columns(cursor, header.flags, columns)) return tl::unexpected(cursor.error());
  // Every event has at least one byte in the offsets column: nothing is reserved beyond proof.
  if (count > columns.offsets.size()) return tl::unexpected(DecodeError::truncated);
  std::vector<Event> events(static_cast<size_t>(count));
  for (Event& event : events)
    if (!read_event(columns, header, event)) return tl::unexpected(DecodeError::truncated);
  const bool all_taken = columns.types.empty() && columns.schemas.empty() &&
                         columns.key_lengths.empty() && columns.keys.empty() &&
                         columns.offsets.empty() && columns.timestamps.empty() &&
                         columns.data_lengths.empty() && columns.data.empty();
  if (!all_taken) return tl::unexpected(DecodeError::trailing_bytes);
  return events;
}

}  // namespace

std::string encode_batch(const std::vector<Event>& events) {
  uint8_t flags = choose_flags(events);
  std::string body = encode_body(events, flags);
  std::string packed = gzip(body);
  // unreached: empty only where gzip() could not, see there
  if (!packed.empty() && packed.size() < body.size()) {
    flags |= kCompressed;
    body.swap(packed);
  }
  const Event& first = events.front();
  std::string out(1, static_cast<char>(flags));
  if (flags & kSameType) append_varint(out, first.event_type_id);
  if (flags & kSameSchema) append_varint(out, first.schema_version);
  if (flags & kSameKeyLength) append_varint(out, first.key.size());
  append_varint(out, first.offset);
  append_varint(out, first.timestamp);
  if (flags & kSameDataLength) append_varint(out, first.event_data.size());
  return out + body;
}

tl::expected<std::vector<Event>, DecodeError> decode_batch(Bytes batch, const BatchLimits& limits) {
  Cursor cursor(batch);
  Header header;
  if (!read_header(cursor, header)) return tl::unexpected(cursor.error());
  if (header.flags & 0x80) return tl::unexpected(DecodeError::unassigned_type);
  if (!(header.flags & kCompressed)) return decode_body(cursor.rest(), header, limits);
  auto body = gunzip(cursor.rest(), limits.body_bytes_max);
  if (!body) return tl::unexpected(body.error());
  return decode_body(*body, header, limits);
}

void append_snapshot_batch(std::string& snapshot, const std::vector<Event>& events) {
  append_chunk(snapshot, encode_batch(events));
}

tl::expected<std::optional<std::vector<Event>>, DecodeError> next_snapshot_batch(
    Bytes& snapshot, const BatchLimits& limits) {
  if (snapshot.empty()) return std::nullopt;
  Cursor cursor(snapshot);
  Bytes batch;
  if (!cursor.chunk(batch)) return tl::unexpected(cursor.error());
  auto events = decode_batch(batch, limits);
  if (!events) return tl::unexpected(events.error());
  snapshot = cursor.rest();
  return std::optional(std::move(*events));
}

}  // namespace sink::protocol

// One TLS session as a function of bytes: ciphertext in, ciphertext out, plaintext in between. Not
// responsible for sockets, time or deadlines. Invariant: no plaintext passes before the handshake
// is done, and after a failure or the peer's close nothing more is read.
//
//   handshaking --done--> open --peer's close_notify--> closed
//        |                 |
//        +----failed <-----+          (sticky; an alert for the peer may wait in the output)
//
// A turn: lend(ciphertext); handshake() or read() until want_read; settle(); send output.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "tls/context.h"
#include "tls/identity.h"
#include "tls/record_inbox.h"

namespace sink::tls {

enum class HandshakeStatus : uint8_t { want_read, done, failed };

enum class ReadStatus : uint8_t {
  data,       // `size` > 0 bytes; there may be more
  want_read,  // everything lent has been used
  closed,     // the peer said close_notify: its stream ended in order
  failed,     // see failure()
};

struct ReadResult {
  ReadStatus status = ReadStatus::want_read;
  size_t size = 0;
};

// Why a session failed, for counters; failure_text() is for people.
enum class Failure : uint8_t {
  none,
  not_tls,              // the peer speaks something else
  version,              // no TLS version in common
  no_certificate,       // the peer sent none
  certificate_expired,  // or not valid yet
  certificate_revoked,
  certificate_untrusted,  // foreign CA, self-signed, broken chain, no revocation list for its CA
  certificate_usage,      // extended key usage does not allow the role
  certificate_name,       // the server's certificate is for another name
  peer_alert,             // the peer refused this side
  violation,              // damaged records, renegotiation, anything against the protocol
};
const char* to_string(Failure failure);

class Stream {
 public:
  // Streams stay where they are made: OpenSSL keeps a pointer to them. The context may be dropped.
  [[nodiscard]] static tl::expected<std::unique_ptr<Stream>, TlsError> accept(
      const ServerContext& context);

  // `server_name` is the DNS name or IP address that the server's certificate must be for; an
  // empty one is an error.
  [[nodiscard]] static tl::expected<std::unique_ptr<Stream>, TlsError> connect(
      const ClientContext& context, const std::string& server_name);

  // The same where the server has made the TCP connection. Which one it is shows its certificate:
  // ask is_named() once the handshake is done, and before a byte passes.
  [[nodiscard]] static tl::expected<std::unique_ptr<Stream>, TlsError> answer(
      const ClientContext& context);

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() = default;

  // Borrows `ciphertext` until settle(). settle() copies what was not used yet, at most the part
  // of a record unless the caller stopped before want_read.
  void lend(std::string_view ciphertext) { inbox_.lend(ciphertext); }
  void settle() { inbox_.settle(); }

  // Advances the handshake with what was lent; `done` again once it is. A client's first call needs
  // no input.
  [[nodiscard]] HandshakeStatus handshake();

  // Decrypts into `plaintext` until it is full or the input is used up.
  [[nodiscard]] ReadResult read(std::span<char> plaintext);

  // Encrypts all of `plaintext` into the output, in records of up to 16 KiB. False: not open, or
  // failed.
  [[nodiscard]] bool write(std::string_view plaintext);

  // Puts close_notify into the output; nothing can be written afterwards.
  void shutdown();

  // Ciphertext to send; the view is valid until the next call that is not const. An output that
  // was sent whole costs no memory.
  std::string_view pending_output() const;
  void consume_output(size_t size);
  // All of it, for a caller that must own bytes while they are on their way.
  std::string take_output();

  Failure failure() const { return failure_; }
  // Such as "certificate has expired" or "peer refused: unknown ca"; never the peer's own bytes.
  std::string failure_text() const;

  // The peer, once the handshake is done and until forget_peer():
  [[nodiscard]] tl::expected<std::string, IdentityError> client_id(ClientIdMode mode) const;
  PeerRecord peer() const;
  // Whether the peer's certificate is for this DNS name or IP address.
  bool is_named(const std::string& name) const;
  // Gives back the memory of the peer's certificates. Call it once the three above were asked.
  void forget_peer();

  // "TLSv1.3" and "TLS_AES_128_GCM_SHA256"; static strings.
  const char* version() const { return SSL_get_version(ssl_.get()); }
  const char* cipher() const { return SSL_get_cipher_name(ssl_.get()); }

 private:
  enum class State : uint8_t { handshaking, open, closed, failed };

  explicit Stream(SslPtr ssl) : ssl_(std::move(ssl)) {}
  [[nodiscard]] static tl::expected<std::unique_ptr<Stream>, TlsError> make(SSL_CTX* context);
  static const BIO_METHOD* bio_method();
  static int bio_read(BIO* bio, char* out, size_t capacity, size_t* size);
  static int bio_write(BIO* bio, const char* bytes, size_t count, size_t* size);
  static long bio_control(BIO* bio, int command, long number, void* pointer);

  bool starving() const;
  void fail(int ssl_error);

  SslPtr ssl_;
  RecordInbox inbox_;
  std::string output_;
  size_t output_sent_ = 0;
  const char* reason_ = "";  // static text
  State state_ = State::handshaking;
  Failure failure_ = Failure::none;
  bool started_ = false;  // the first flight of a client is on its way
  bool shut_down_ = false;
  bool forgotten_ = false;
};

}  // namespace sink::tls

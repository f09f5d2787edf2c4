// Implements stream.h. OpenSSL reads and writes through a BIO of our own: its memory BIO would copy
// once more and keep its buffers for the life of the connection.
#include "tls/stream.h"

#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "tls/peer_memory.h"
#include "tls/pem_file.h"

namespace sink::tls {
namespace {

constexpr size_t kRecordPlaintextMax = 16 * 1024;
constexpr size_t kRecordOverheadMax = 5 + 8 + 16 + 1;  // header, explicit nonce, tag, inner type

Failure failure_of_verification(long result) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Failure::certificate_expired;
    case X509_V_ERR_CERT_REVOKED:
      return Failure::certificate_revoked;
    case X509_V_ERR_INVALID_PURPOSE:
      return Failure::certificate_usage;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return Failure::certificate_name;
    default:
      return Failure::certificate_untrusted;
  }
}

Failure failure_of_reason(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return Failure::violation;
  const int reason = ERR_GET_REASON(error);
  if (reason >= SSL_AD_REASON_OFFSET) return Failure::peer_alert;
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
      return Failure::not_tls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
      return Failure::version;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return Failure::no_certificate;
    default:
      return Failure::violation;
  }
}

}  // namespace

const char* to_string(Failure failure) {
  switch (failure) {
    case Failure::none:
      return "none";
    case Failure::not_tls:
      return "not_tls";
    case Failure::version:
      return "version";
    case Failure::no_certificate:
      return "no_certificate";
    case Failure::certificate_expired:
      return "certificate_expired";
    case Failure::certificate_revoked:
      return "certificate_revoked";
    case Failure::certificate_untrusted:
      return "certificate_untrusted";
    case Failure::certificate_usage:
      return "certificate_usage";
    case Failure::certificate_name:
      return "certificate_name";
    case Failure::peer_alert:
      return "peer_alert";
    case Failure::violation:
      return "violation";
  }
  return "unknown";
}

const BIO_METHOD* Stream::bio_method() {
  // Lives as long as the process: a stream may outlive static destructors.
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sink stream");
    if (made != nullptr) {
      BIO_meth_set_read_ex(made, bio_read);
      BIO_meth_set_write_ex(made, bio_write);
      BIO_meth_set_ctrl(made, bio_control);
    }
    return made;
  }();
  return method;
}

int Stream::bio_read(BIO* bio, char* out, size_t capacity, size_t* size) {
  auto* stream = static_cast<Stream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *size = stream->inbox_.take(out, capacity);
  if (*size > 0) return 1;
  BIO_set_retry_read(bio);
  return 0;
}

int Stream::bio_write(BIO* bio, const char* bytes, size_t count, size_t* size) {
  auto* stream = static_cast<Stream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  stream->output_.append(bytes, count);
  *size = count;
  return 1;
}

long Stream::bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

tl::expected<std::unique_ptr<Stream>, TlsError> Stream::make(SSL_CTX* context) {
  ERR_clear_error();
  std::unique_ptr<Stream> stream;
  SslPtr ssl(SSL_new(context));
  BIO* bio = ssl == nullptr || bio_method() == nullptr ? nullptr : BIO_new(bio_method());
  if (bio == nullptr) {
    return tl::unexpected(TlsError{
        TlsErrorCode::openssl_failed,
        "cannot create a TLS session (" + take_openssl_error() + "); is memory exhausted?"});
  }
  stream.reset(new Stream(std::move(ssl)));
  BIO_set_data(bio, stream.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(stream->ssl_.get(), bio, bio);
  return stream;
}

tl::expected<std::unique_ptr<Stream>, TlsError> Stream::accept(const ServerContext& context) {
  auto stream = make(context.native());
  if (stream) SSL_set_accept_state((*stream)->ssl_.get());
  return stream;
}

tl::expected<std::unique_ptr<Stream>, TlsError> Stream::connect(const ClientContext& context,
                                                                const std::string& server_name) {
  auto stream = make(context.native());
  if (!stream) return stream;
  SSL* const ssl = (*stream)->ssl_.get();
  SSL_set_connect_state(ssl);
  X509_VERIFY_PARAM* expected_peer = SSL_get0_param(ssl);
  bool set = !server_name.empty();
  if (set && X509_VERIFY_PARAM_set1_ip_asc(expected_peer, server_name.c_str()) != 1) {
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(expected_peer, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    set = X509_VERIFY_PARAM_set1_host(expected_peer, server_name.data(), server_name.size()) == 1 &&
          SSL_set_tlsext_host_name(ssl, server_name.c_str()) == 1;
  }
  if (set) return stream;
  return tl::unexpected(TlsError{TlsErrorCode::openssl_failed,
                                 "\"" + server_name +
                                     "\" is no server name; give the DNS name or IP address that "
                                     "the server's certificate is for"});
}

tl::expected<std::unique_ptr<Stream>, TlsError> Stream::answer(const ClientContext& context) {
  auto stream = make(context.native());
  if (stream) SSL_set_connect_state((*stream)->ssl_.get());
  return stream;
}

bool Stream::is_named(const std::string& name) const {
  X509* const certificate = forgotten_ ? nullptr : SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr || name.empty()) return false;
  const int as_address = X509_check_ip_asc(certificate, name.c_str(), 0);
  if (as_address == 1) return true;
  ERR_clear_error();  // it is no address
  return X509_check_host(certificate, name.data(), name.size(),
                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, nullptr) == 1;
}

// True when OpenSSL could only ask for more: saves it from allocating buffers in vain.
bool Stream::starving() const {
  return inbox_.available() == 0 && SSL_has_pending(ssl_.get()) == 0;
}

HandshakeStatus Stream::handshake() {
  if (state_ == State::failed) return HandshakeStatus::failed;
  if (state_ != State::handshaking) return HandshakeStatus::done;
  if (starving() && (started_ || SSL_is_server(ssl_.get()) == 1)) return HandshakeStatus::want_read;
  started_ = true;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    state_ = State::open;
    return HandshakeStatus::done;
  }
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return HandshakeStatus::want_read;
  fail(error);
  return HandshakeStatus::failed;
}

ReadResult Stream::read(std::span<char> plaintext) {
  size_t total = 0;
  while (state_ == State::open && total < plaintext.size() && !starving()) {
    ERR_clear_error();
    size_t size = 0;
    const int result =
        SSL_read_ex(ssl_.get(), plaintext.data() + total, plaintext.size() - total, &size);
    if (result == 1) {
      total += size;
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) {
      if (inbox_.available() == 0) break;  // what OpenSSL still holds is part of a record
    } else if (error == SSL_ERROR_ZERO_RETURN) {
      state_ = State::closed;
    } else {
      fail(error);
    }
  }
  if (total > 0) return {ReadStatus::data, total};
  if (state_ == State::closed) return {ReadStatus::closed, 0};
  if (state_ == State::failed) return {ReadStatus::failed, 0};
  return {ReadStatus::want_read, 0};
}

bool Stream::write(std::string_view plaintext) {
  const bool writable = state_ == State::open || state_ == State::closed;
  if (!writable || shut_down_) return false;
  const size_t records = plaintext.size() / kRecordPlaintextMax + 1;
  output_.reserve(output_.size() + plaintext.size() + records * kRecordOverheadMax);
  while (!plaintext.empty()) {
    ERR_clear_error();
    size_t size = 0;
    const int result = SSL_write_ex(ssl_.get(), plaintext.data(), plaintext.size(), &size);
    if (result != 1) {
      fail(SSL_get_error(ssl_.get(), result));
      return false;
    }
    plaintext.remove_prefix(size);
  }
  return true;
}

void Stream::shutdown() {
  const bool established = state_ == State::open || state_ == State::closed;
  if (!established || shut_down_) return;
  shut_down_ = true;
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_.get());
  if (result < 0) fail(SSL_get_error(ssl_.get(), result));
}

std::string_view Stream::pending_output() const {
  return std::string_view(output_).substr(output_sent_);
}

void Stream::consume_output(size_t size) {
  output_sent_ += std::min(size, output_.size() - output_sent_);
  if (output_sent_ < output_.size()) return;
  std::string().swap(output_);
  output_sent_ = 0;
}

std::string Stream::take_output() {
  std::string taken = std::exchange(output_, std::string());
  taken.erase(0, std::exchange(output_sent_, 0));
  return taken;
}

void Stream::fail(int ssl_error) {
  state_ = State::failed;
  const unsigned long error = ERR_peek_error();
  const long verification = SSL_get_verify_result(ssl_.get());
  const bool verification_failed = ERR_GET_LIB(error) == ERR_LIB_SSL &&
                                   ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
                                   verification != X509_V_OK;
  if (verification_failed) {
    failure_ = failure_of_verification(verification);
    reason_ = X509_verify_cert_error_string(verification);
  } else {
    failure_ = failure_of_reason(error);
    const char* text = error == 0 ? nullptr : ERR_reason_error_string(error);
    reason_ = text != nullptr                      ? text
              : ssl_error == SSL_ERROR_ZERO_RETURN ? "closed during the handshake"
                                                   : "unspecified TLS error";
  }
  ERR_clear_error();
}

std::string Stream::failure_text() const {
  return failure_ == Failure::peer_alert ? std::string("peer refused: ") + reason_ : reason_;
}

tl::expected<std::string, IdentityError> Stream::client_id(ClientIdMode mode) const {
  if (state_ != State::open || forgotten_) return tl::unexpected(IdentityError::absent);
  return client_id_of(SSL_get0_peer_certificate(ssl_.get()), mode);
}

PeerRecord Stream::peer() const {
  return state_ == State::open && !forgotten_ ? peer_record(ssl_.get()) : PeerRecord{};
}

void Stream::forget_peer() {
  if (state_ == State::handshaking || forgotten_) return;
  forgotten_ = true;
  release_peer_memory(ssl_.get());
}

}  // namespace sink::tls

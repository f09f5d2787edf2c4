// Gives back what OpenSSL keeps of an authenticated peer for the life of a connection: about 3 KiB
// for a bare EC certificate, 5 KiB more for each further certificate that the peer sent. Not
// responsible for remembering who the peer is: extract that before. Invariant: only documented
// functions on objects that belong to this one session; the session itself is left alone, because
// OpenSSL encrypts TLS 1.2 only while it has one.
#pragma once

#include <openssl/ssl.h>

namespace sink::tls {

// For an established session. Afterwards the peer's certificate says nothing any more.
void release_peer_memory(SSL* ssl);

}  // namespace sink::tls

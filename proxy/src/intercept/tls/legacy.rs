//! The second TLS stack, OpenSSL: TLS 1.0 to 1.3 with everything that servers of long ago speak.

//! Sessions whose TLS ends here: one connection with the client and one with the server, and what lies between them
//! in clear.

pub mod tls;

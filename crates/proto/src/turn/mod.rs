//! STUN and TURN (RFC 8489, RFC 8656): the server's machine and the client's, and the credentials between them.

pub mod client;
pub mod credentials;
pub mod peers;
pub mod server;

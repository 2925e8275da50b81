//! Every format that leaves the process: `parse`, `emit`, limits and round-trip tests. No state, no time.

pub mod base32;
pub mod binarypack;
pub mod call_path;
pub mod candidate;
pub mod chunk;
pub mod cookie;
pub mod evidence;
pub mod file;
pub mod forwarded;
pub mod http;
pub mod ice_servers;
pub mod ice_url;
pub mod id;
pub mod legacy;
pub mod link_url;
pub mod msgpack;
pub mod pack;
pub mod rope;
pub mod sdp;
pub mod signal;
pub mod socket_query;
pub mod statement;
pub mod stun;
pub mod turn;
pub mod username;
pub mod websocket;

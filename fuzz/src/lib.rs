//! What the fuzz targets do with their octets. Each takes anything and returns; a panic is a finding.
//!
//! Each target below `targets/` is the function of its name; its seeds stand below `seeds/`.

mod calls;
mod chunks;
mod cookies;
mod files;
mod http;
mod identity;
mod legacy;
mod link;
mod names;
mod restart;
mod rooms;
mod script;
mod signal;
mod stun;
mod texts;
mod turn;
mod turn_client;
mod values;
mod websocket;

pub use calls::{call_path, forwarded};
pub use chunks::chunks;
pub use cookies::{cookies, cookies_file};
pub use files::file_transfer;
pub use http::{http_frames, http_head, http_session};
pub use identity::{caller_answer, gate_offer};
pub use legacy::{legacy_ask, legacy_session};
pub use link::link_inputs;
pub use names::{names, username_frame};
pub use restart::link_restarts;
pub use rooms::{room_frames, room_inputs, room_legacy, room_member};
pub use signal::{router, signal_frame, socket_query};
pub use stun::stun;
pub use texts::{candidate, evidence, ids, link_url, sdp, statement};
pub use turn::turn_server;
pub use turn_client::{ice_url, turn_client};
pub use values::{binarypack, msgpack};
pub use websocket::websocket;

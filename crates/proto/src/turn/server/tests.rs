//! What the server promises, told by clients in virtual time.

mod abuse;
mod allocations;
mod data;
mod properties;
mod world;

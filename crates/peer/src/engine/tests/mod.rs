//! The engine held to its promises: over loopback sockets, and in virtual time over a network that does what the test wants.

mod gather;
mod network;
mod queues;
mod relays;
mod restart;
mod sockets;
mod turn_server;
mod ways;
mod world;

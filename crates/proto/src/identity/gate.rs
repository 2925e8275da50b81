//! The device: decides who may in.

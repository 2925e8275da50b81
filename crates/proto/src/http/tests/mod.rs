//! Promises of the session, one test each, and the vectors that other languages replay.

mod garbage;
mod json;
mod print;
mod promises;
mod script;
mod transcripts;
mod vectors;

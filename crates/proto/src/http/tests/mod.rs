//! Promises of the session, one test each, and the vectors that other languages replay.

mod json;
mod print;
mod script;
mod transcripts;
mod vectors;

//! Promises of the jar, one test each, and the vectors that other languages replay.

mod bounds;
mod promises;
mod rules;
mod table;
mod vectors;

//! Messages in slices: [`Splitter`] makes them, [`Assembler`] puts them together. Both are for one connection, whose channel may reorder.

mod assembler;
mod splitter;

pub use assembler::{Assembler, ChunkError, Config, DropReason, Output};
pub use splitter::{Slice, Slices, Splitter};

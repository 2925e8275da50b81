//! The caller: makes offers, verifies answers and refusals.

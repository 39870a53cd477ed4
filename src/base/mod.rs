//! The words everything else is written in: time, ids, tables, timers, limits. Nothing here does I/O.

pub mod id;
pub mod limit;
pub mod pool;
pub mod prng;
pub mod table;
pub mod time;
pub mod wheel;

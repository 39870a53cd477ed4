//! Settings: what an operator may say, read from file, environment and command line.

pub mod gateway;

//! Glue: which session speaks to which broker, and the pages beside them.

pub mod admin;
pub mod embedded;
pub mod gateway;
pub mod standalone;

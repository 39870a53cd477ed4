//! Glue: which session speaks to which broker, and the pages beside them.

pub mod gateway;

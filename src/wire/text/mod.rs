//! The JSON texts of the WebSocket API, in and out, with the leniencies of the original server (API 3.2, 3.3, 4.2, 4.3).

pub mod base64;
pub mod command;
pub mod date;
pub mod json;
pub mod reply;
pub mod request;

pub use json::{JsonError, JsonReader};

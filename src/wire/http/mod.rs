//! HTTP/1.1 heads and answers, as much as an upgrade, health checks, metrics and statistics need.

mod answer;
mod head;
mod upgrade;

pub use answer::{Answer, put_answer};
pub use head::{Head, HttpError, read_head};
pub use upgrade::{Upgrade, put_switching, upgrade};

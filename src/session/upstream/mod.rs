//! The client side of brokers: one link per connection ([`link`]), how a producer or consumer finds and keeps its
//! broker ([`attach`]), what failures mean ([`failure`]), and where brokers are ([`address`]).

pub mod address;
pub mod attach;
pub mod discover;
pub mod failure;
pub mod inbox;
pub mod link;

pub use address::HostPort;
pub use attach::{Attachment, Role, Step};
pub use failure::{Cause, Failure};
pub use inbox::FrameInbox;
pub use link::{Answer, Link, LinkEvent};

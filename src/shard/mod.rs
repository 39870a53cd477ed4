//! One core: its sockets, timers, mailbox and the loop that drives them. The only layer that names glommio, io_uring,
//! a socket, a clock or a thread. What happens on the sockets is decided above, by a [`Handler`].

pub mod links;
pub mod mesh;
pub mod run;

pub use links::{Closed, ConnKey, Handler, Links};
pub use mesh::{Mail, ShardId};

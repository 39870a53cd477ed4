//! One core: its sockets, timers, mailbox and the loop that drives them. The only layer that names glommio, io_uring,
//! a socket, a clock or a thread. What happens on the sockets is decided above, by a [`Handler`].

mod bufring;
mod clock;
mod conn;
mod disk;
mod drive;
mod ending;
mod events;
pub mod folder;
mod gates;
pub mod links;
pub mod mesh;
pub mod meta;
mod portable;
mod probe;
mod reactor;
mod resolver;
mod ring;
pub mod run;
mod simulate;
mod sys;
mod watchdog;

pub use folder::{DataFolder, FolderError, FolderOptions};
pub use links::{Closed, ConnKey, Door, Handler, Links};
pub use mesh::{Mail, ShardId};
pub use probe::probe;

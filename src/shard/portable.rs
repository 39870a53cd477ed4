//! The portable driver.
use crate::shard::ending::Ending;
use crate::shard::links::Handler;
use crate::shard::reactor::Seat;
use std::io;

pub(crate) struct Portable {}

impl Portable {
    pub(crate) fn new(_seat: Seat) -> io::Result<Portable> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn run<H: Handler>(&mut self, _handler: &mut H, _ending: Ending) -> io::Result<()> {
        Ok(())
    }
}

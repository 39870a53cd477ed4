//! The gateway end to end: real sockets, an independent WebSocket client, a small broker in this process. Every case runs
//! on the ring driver and on the portable one. Waits are bounded waits for events.

mod broker;
mod cases;
mod gateway;

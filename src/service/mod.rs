//! Which session speaks to which broker.

pub mod gateway {
    //! A place holder with the gateway's signatures.

    use crate::config::GatewayConfig;
    use crate::shard::{Closed, ConnKey, Handler, Links, Mail, ShardId};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    /// One core's gateway.
    pub struct Gateway;

    impl Gateway {
        /// The gateway of `shard`, one of `shards`.
        pub fn new(_config: Arc<GatewayConfig>, _shard: ShardId, _shards: usize, _seed: u64) -> Gateway {
            Gateway
        }
    }

    impl Handler for Gateway {
        fn on_accept(&mut self, _io: &mut Links, _key: ConnKey, _peer: SocketAddr) {}
        fn on_connected(&mut self, _io: &mut Links, _key: ConnKey, _result: Result<(), i32>) {}
        fn on_bytes(&mut self, _io: &mut Links, _key: ConnKey, _bytes: &mut [u8]) {}
        fn on_eof(&mut self, _io: &mut Links, _key: ConnKey) {}
        fn on_drained(&mut self, _io: &mut Links, _key: ConnKey) {}
        fn on_closed(&mut self, _io: &mut Links, _key: ConnKey, _why: Closed) {}
        fn on_timer(&mut self, _io: &mut Links, _token: u64) {}
        fn on_resolved(&mut self, _io: &mut Links, _token: u64, _result: Result<Vec<SocketAddr>, String>) {}
        fn on_mail(&mut self, _io: &mut Links, _from: ShardId, _mail: Mail) {}
        fn on_turn_end(&mut self, _io: &mut Links) {}
        fn on_stop(&mut self, _io: &mut Links, _spread: Duration) {}
        fn is_quiet(&self) -> bool {
            true
        }
    }
}

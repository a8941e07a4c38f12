//! QUIC with a stream for each request, which is how one would begin.

use bytes::Bytes;
use quinn::Connection;

use super::quinn_echo::{Dialler, ONE_REQUEST};
use crate::Failure;
use crate::client::{Caller, Client, say, take_orders};

/// The end that asks.
pub(super) async fn ask(greeting: &str) -> Result<(), Failure> {
    let connection = Dialler::new(greeting)?.connect().await?;
    say("ready")?;
    take_orders(Streams(connection)).await
}

#[derive(Clone)]
struct Streams(Connection);

impl Client for Streams {
    type Caller = Self;

    async fn callers(&self, count: usize) -> Result<Vec<Self>, Failure> {
        Ok(vec![self.clone(); count])
    }
}

impl Caller for Streams {
    async fn call(&mut self, payload: Bytes) -> Result<(), Failure> {
        let (mut sender, mut receiver) = self.0.open_bi().await?;
        sender.write_all_chunks(&mut [Bytes::from_static(&[ONE_REQUEST]), payload.clone()]).await?;
        sender.finish()?;
        let answer = receiver.read_to_end(payload.len()).await?;
        if answer == payload { Ok(()) } else { Err("another answer than the request".into()) }
    }
}

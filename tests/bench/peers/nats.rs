//! NATS: request and reply through its server, which is Debian's.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::pair::Pair;
use crate::Failure;
use crate::client::{Caller, Client, input_ends, say, take_orders};
use crate::helper::{Helper, Silent};
use crate::install::program;

/// What the requests are about.
const SUBJECT: &str = "bench.echo";

/// How long the server may take to listen.
const START_MAX: Duration = Duration::from_secs(20);

/// Starts the server and both ends.
pub(super) fn start() -> Result<Pair, Failure> {
    let server = program("nats-server").ok_or("nats-server is not installed")?;
    // Free a moment ago: who takes it meanwhile makes this fail, and the row says so.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let port = address.port().to_string();
    let between = Silent::start(Command::new(server).args(["-a", "127.0.0.1", "-p", &port]))?;
    let deadline = Instant::now() + START_MAX;
    while TcpStream::connect(address).is_err() {
        if Instant::now() >= deadline {
            return Err("nats-server does not listen".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let address = address.to_string();
    let responder = Helper::role("nats-responder", &[&address])?;
    let client = Helper::role("nats-client", &[&address])?;
    Ok(Pair::new(client, responder, Some(between)))
}

/// The end that answers.
pub(super) async fn serve(address: &str) -> Result<(), Failure> {
    let client = async_nats::connect(address).await?;
    let mut requests = client.subscribe(SUBJECT).await?;
    client.flush().await?;
    say("ready")?;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                client.publish(reply, request.payload).await?;
            }
        }
        Ok::<(), Failure>(())
    });
    input_ends().await
}

/// The end that asks.
pub(super) async fn ask(address: &str) -> Result<(), Failure> {
    let client = async_nats::connect(address).await?;
    say("ready")?;
    take_orders(Requests(client)).await
}

#[derive(Clone)]
struct Requests(async_nats::Client);

impl Client for Requests {
    type Caller = Self;

    async fn callers(&self, count: usize) -> Result<Vec<Self>, Failure> {
        Ok(vec![self.clone(); count])
    }
}

impl Caller for Requests {
    async fn call(&mut self, payload: Bytes) -> Result<(), Failure> {
        let answer = self.0.request(SUBJECT, payload.clone()).await?;
        if answer.payload == payload { Ok(()) } else { Err("another answer than the request".into()) }
    }
}

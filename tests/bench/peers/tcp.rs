//! TCP as it is: a connection for each caller, neither secret nor authenticated.

use tokio::net::{TcpListener, TcpStream};

use super::stream_echo::{StreamCaller, echo};
use crate::Failure;
use crate::client::{Client, input_ends, say, take_orders};

/// The end that answers.
pub(super) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&listener.local_addr()?.to_string())?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                echo(stream).await
            });
        }
    });
    input_ends().await
}

/// The end that asks.
pub(super) async fn ask(address: &str) -> Result<(), Failure> {
    say("ready")?;
    take_orders(Connections(address.to_owned())).await
}

struct Connections(String);

impl Client for Connections {
    type Caller = StreamCaller<TcpStream>;

    async fn callers(&self, count: usize) -> Result<Vec<Self::Caller>, Failure> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(&self.0).await?;
            stream.set_nodelay(true)?;
            callers.push(StreamCaller::new(stream));
        }
        Ok(callers)
    }
}

//! Who is measured: us, and who else does the same work. One file for each, with both of its ends.

mod certificate;
mod erlang;
mod nats;
mod ours;
mod pair;
mod quinn_echo;
mod quinn_frames;
mod quinn_streams;
mod stream_echo;
mod tcp;
mod tls;
mod tonic;

pub(crate) use ours::{Cluster, Fleet};
pub(crate) use pair::{Pair, Peer};

use crate::Failure;

/// Becomes one end of a peer. `arguments` are the role's name and what it is told.
pub(crate) async fn become_role(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["control", rest @ ..] => ours::control(rest).await,
        ["worker", rest @ ..] => ours::worker(rest).await,
        ["workers", rest @ ..] => ours::workers(rest).await,
        ["tcp-server"] => tcp::serve().await,
        ["tcp-client", address] => tcp::ask(address).await,
        ["tls-server"] => tls::serve().await,
        ["tls-client", greeting] => tls::ask(greeting).await,
        ["quinn-server"] => quinn_echo::serve().await,
        ["quinn-frames-client", greeting] => quinn_frames::ask(greeting).await,
        ["quinn-streams-client", greeting] => quinn_streams::ask(greeting).await,
        ["tonic-server"] => tonic::serve().await,
        ["tonic-client", greeting] => tonic::ask(greeting).await,
        ["nats-responder", address] => nats::serve(address).await,
        ["nats-client", address] => nats::ask(address).await,
        _ => Err(format!("no role is called so: {words:?}").into()),
    }
}
